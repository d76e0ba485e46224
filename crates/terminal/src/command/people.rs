//! `godwit contacts`, `profile`, `block`, `mute`: others as this account sees them, and itself as
//! they do.

use std::path::Path;

use godwit_base::Handle;
use godwit_client::core::{MUTED_FOREVER_MS, PROFILE_PICTURE_BYTES_MAX};
use godwit_client::{Client, Contact};
use serde::Serialize;

use super::{Time, of_somebody};
use crate::arguments::{Mute, Profile, SetProfile, Span, Whom};
use crate::failure::Failure;
use crate::output::Output;
use crate::record::Person;
use crate::text::{named, one_line};
use crate::time::now_ms;

/// Prints everybody who is known, by handle.
pub(super) async fn contacts(client: &Client, output: &mut Output) -> Result<(), Failure> {
    for contact in &client.contacts().await? {
        output.record(&Person::new(contact), |_| person_line(contact))?;
    }
    Ok(())
}

/// Somebody as a line for people.
pub(super) fn person_line(contact: &Contact) -> String {
    let mut line = named(contact.handle.as_str(), contact.name.as_deref());
    if let Some(about) = &contact.about {
        line = format!("{line}: {}", one_line(about));
    }
    let marks = [
        (contact.verified, "verified"),
        (contact.blocked, "blocked"),
        (contact.muted_until_ms > now_ms(), "muted"),
    ];
    for (_, mark) in marks.iter().filter(|(is_set, _)| *is_set) {
        line = format!("{line} [{mark}]");
    }
    line
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    about: &'a str,
    picture_bytes: usize,
    /// Whether contacts were sent it, when it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<bool>,
}

/// Shows or changes this account's profile.
pub(super) async fn profile(
    client: &Client,
    profile: &Profile,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut told = None;
    if let Profile::Set { what: SetProfile { name, about, picture }, limit } = profile {
        let time = Time::of(*limit);
        let picture = picture.as_deref().map(read_picture).transpose()?;
        client.set_profile(name.clone(), about.clone(), picture).await?;
        told = Some(super::is_told(client, time).await?);
    }
    let own = client.profile().await?;
    let picture_bytes = own.picture.len();
    let shown = Shown { name: &own.name, about: &own.about, picture_bytes, told };
    output.record(&shown, |shown| {
        let or_none = |text: &str| if text.is_empty() { "(none)".to_owned() } else { text.into() };
        let picture = match picture_bytes {
            0 => "(none)".to_owned(),
            bytes => format!("{bytes} bytes"),
        };
        let not_yet = match told {
            Some(false) => {
                "\nnot everybody was sent it yet: it goes out when the server can be reached"
            }
            _ => "",
        };
        format!(
            "name:    {}\nabout:   {}\npicture: {picture}{not_yet}",
            or_none(&one_line(shown.name)),
            or_none(&one_line(shown.about))
        )
    })
}

/// Reads a picture; a file that is too large is not read whole.
fn read_picture(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    if path.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error| Failure::io(&format!("cannot read {}", path.display()), &error);
    let mut picture = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    // One byte more shows that it is too large; the client says so.
    file.take(PROFILE_PICTURE_BYTES_MAX as u64 + 1).read_to_end(&mut picture).map_err(failed)?;
    Ok(picture)
}

/// Blocks somebody or lifts that.
pub(super) async fn block(
    client: &Client,
    whom: &Whom,
    blocked: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let (with, time) = (&whom.with, Time::of(whom.limit));
    of_somebody(client, with, time, async || client.set_blocked(with, blocked).await).await?;
    decided(client, with, output).await
}

/// Mutes somebody for a time.
pub(super) async fn mute(client: &Client, mute: &Mute, output: &mut Output) -> Result<(), Failure> {
    let until_ms = match mute.span {
        Span::Forever => MUTED_FOREVER_MS,
        Span::Ms(ms) => now_ms().saturating_add(ms),
    };
    set_muted(client, &mute.with, until_ms, Time::of(mute.limit), output).await
}

/// Lifts a mute.
pub(super) async fn unmute(
    client: &Client,
    whom: &Whom,
    output: &mut Output,
) -> Result<(), Failure> {
    set_muted(client, &whom.with, 0, Time::of(whom.limit), output).await
}

async fn set_muted(
    client: &Client,
    with: &Handle,
    until_ms: u64,
    time: Time,
    output: &mut Output,
) -> Result<(), Failure> {
    of_somebody(client, with, time, async || client.set_muted(with, until_ms).await).await?;
    decided(client, with, output).await
}

/// Prints what is so now.
async fn decided(client: &Client, with: &Handle, output: &mut Output) -> Result<(), Failure> {
    let people = client.contacts().await?;
    let Some(contact) = people.iter().find(|contact| contact.handle == *with) else {
        return Ok(());
    };
    output.record(&Person::new(contact), |_| person_line(contact))
}
