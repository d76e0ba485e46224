//! What the server says when it is up: one JSON line for programs, or a page for the person who
//! started it, with the join link, its QR code, and what to type next.

use std::fmt::Write as _;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde::Serialize;

use crate::config::Policy;

/// A server that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    event: &'static str,
    /// The join link.
    pub join: String,
    /// The web address.
    pub http: String,
    /// Name of this node: the first eight hex digits of its key.
    pub node: String,
    /// Version of the server.
    pub version: &'static str,
    /// Who may register.
    #[serde(skip)]
    pub policy: Policy,
    /// The data folder.
    #[serde(skip)]
    pub data: String,
}

impl Ready {
    pub(crate) fn new(
        join: String,
        http: String,
        node: String,
        policy: Policy,
        data: String,
    ) -> Self {
        Self { event: "ready", join, http, node, version: env!("CARGO_PKG_VERSION"), policy, data }
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        // Strings alone: they always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// For a person at a terminal.
    pub fn text(&self) -> String {
        let mut out = format!("Godwit {} is up.\n\n", self.version);
        let _ = writeln!(out, "Join link   {}", self.join);
        let _ = writeln!(out, "Web         {}", self.http);
        let _ = writeln!(out, "Data        {}", self.data);
        if let Some(code) = qr(&self.join) {
            let _ = writeln!(out, "\n{code}");
        }
        let invite = match self.policy {
            Policy::Open => "",
            Policy::Invite => {
                let _ = writeln!(
                    out,
                    "Registration needs an invite. Make one:\n\n    godwitd invite --data '{}'\n",
                    self.data
                );
                " --invite CODE"
            }
        };
        let _ = write!(
            out,
            "To join, type in another terminal:\n\n    godwit join '{}' --as alice{invite}\n\n\
             Ctrl-C stops the server; nothing accepted is lost.\n",
            self.join
        );
        out
    }
}

fn qr(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    // Light on dark, as most terminals are: the dark modules are what is left unpainted.
    let mut image = code.render::<Dense1x2>();
    image.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).quiet_zone(true);
    Some(image.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(policy: Policy) -> Ready {
        let join = "godwit://127.0.0.1:7373#key".to_owned();
        Ready::new(join, "http://127.0.0.1:7373".into(), "00ff00ff".into(), policy, "/d".into())
    }

    #[test]
    fn programs_get_the_promised_line() {
        let line: serde_json::Value = serde_json::from_str(&ready(Policy::Open).json()).unwrap();
        assert_eq!(
            line,
            serde_json::json!({
                "event": "ready", "join": "godwit://127.0.0.1:7373#key",
                "http": "http://127.0.0.1:7373", "node": "00ff00ff",
                "version": env!("CARGO_PKG_VERSION"),
            })
        );
    }

    #[test]
    fn people_get_the_link_its_code_and_the_next_step() {
        let text = ready(Policy::Open).text();
        assert!(text.contains("godwit join 'godwit://127.0.0.1:7373#key' --as alice\n"), "{text}");
        assert!(text.contains('█') || text.contains('▀'), "{text}");
        assert!(!text.contains("invite"));
        assert!(ready(Policy::Invite).text().contains("godwitd invite --data '/d'"));
    }
}
