//! The servers that stand beside ours: what each needs installed, how it is configured and started,
//! and how it gets its accounts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::shell::{run as run_command, unlimited};
use crate::tools;

/// Somebody else's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// MQTT broker
    Mosquitto,
    /// XMPP server on Erlang
    Ejabberd,
    /// XMPP server on Lua
    Prosody,
}

/// Where it keeps what waits for absent accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// As it comes.
    Default,
    /// As carefully as it can.
    Synced,
}

/// What a server is started with.
pub(super) struct Site<'a> {
    pub(super) dir: &'a Path,
    pub(super) tls: &'a Path,
    pub(super) port: u16,
    pub(super) tls_port: u16,
    pub(super) store: Store,
    /// Whether it may use the first CPU alone.
    pub(super) pin: bool,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Mosquitto, Self::Ejabberd, Self::Prosody];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Ejabberd => "ejabberd",
            Self::Prosody => "prosody",
        }
    }

    /// What the load tool calls its protocol.
    pub(super) fn speaks(self) -> &'static str {
        match self {
            Self::Mosquitto => "mqtt",
            Self::Ejabberd | Self::Prosody => "xmpp",
        }
    }

    /// Debian's packages, the one of the server first; the others are for its synced store.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Mosquitto => &["mosquitto"],
            Self::Ejabberd => &["ejabberd", "erlang-p1-sqlite3"],
            Self::Prosody => &["prosody", "lua-dbi-sqlite3"],
        }
    }

    /// Installs what is missing; its version.
    pub(super) fn install(self) -> Result<String> {
        tools::debian_packages(self.packages())?;
        let package = self.packages().first().copied().unwrap_or_default();
        let output =
            Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes its configuration and its accounts u0, u1, ... with the password pw; the command that
    /// runs it in the foreground. Its data may be there already: then the accounts are too.
    pub(super) fn prepare(self, site: &Site<'_>, accounts: Option<u32>) -> Result<Command> {
        match self {
            Self::Mosquitto => mosquitto(site, accounts),
            Self::Ejabberd => ejabberd(site, accounts),
            Self::Prosody => prosody(site, accounts),
        }
    }

    /// A file that appears when a start is over, if open ports do not say so.
    pub(super) fn ready_file(self, dir: &Path) -> Option<PathBuf> {
        (self == Self::Ejabberd).then(|| dir.join("ready"))
    }
}

impl Store {
    pub(super) const BOTH: [Self; 2] = [Self::Default, Self::Synced];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Synced => "synced",
        }
    }
}

impl Site<'_> {
    fn program(&self, program: &str) -> Command {
        if !self.pin {
            return unlimited(program);
        }
        let mut command = unlimited("taskset");
        command.args(["-c", "0", program]);
        command
    }

    /// Fills a configuration in and writes it.
    fn configure(&self, name: &str, template: &str, more: &[(&str, &str)]) -> Result<PathBuf> {
        let (port, tls_port) = (self.port.to_string(), self.tls_port.to_string());
        let (dir, tls) = (self.dir.display().to_string(), self.tls.display().to_string());
        let places =
            [("@PORT@", &*port), ("@TLS_PORT@", &tls_port), ("@DIR@", &dir), ("@TLS@", &tls)];
        let mut text = template.to_owned();
        for (place, value) in places.into_iter().chain(more.iter().copied()) {
            text = text.replace(place, value);
        }
        let path = self.dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

fn mosquitto(site: &Site<'_>, accounts: Option<u32>) -> Result<Command> {
    let store = match site.store {
        Store::Default => "",
        Store::Synced => "autosave_on_changes true\nautosave_interval 1",
    };
    let template = include_str!("config/mosquitto.conf");
    let config = site.configure("mosquitto.conf", template, &[("@STORE@", store)])?;
    if let Some(accounts) = accounts {
        let passwords = site.dir.join("passwords");
        let lines: String = (0..accounts).map(|user| format!("u{user}:pw\n")).collect();
        std::fs::write(&passwords, lines)?;
        // It reads no passwords in clear.
        run_command(Command::new("mosquitto_passwd").arg("-U").arg(passwords))?;
    }
    let mut command = site.program("/usr/sbin/mosquitto");
    command.arg("-c").arg(config);
    Ok(command)
}

fn ejabberd(site: &Site<'_>, accounts: Option<u32>) -> Result<Command> {
    let dir = site.dir.display();
    let (store, database) = match site.store {
        Store::Default => ("mnesia", String::new()),
        Store::Synced => {
            ("sql", format!("sql_type: sqlite\nsql_database: \"{dir}/ejabberd.sqlite\""))
        }
    };
    let template = include_str!("config/ejabberd.yml");
    let more = [("@STORE@", store), ("@DATABASE@", &*database)];
    let config = site.configure("ejabberd.yml", template, &more)?;
    let spool = site.dir.join("spool");
    std::fs::create_dir_all(&spool)?;
    let register = accounts.map_or(String::new(), |accounts| {
        format!(
            "[ejabberd_auth:try_register(<<\"u\", (integer_to_binary(I))/binary>>, \
             <<\"localhost\">>, <<\"pw\">>) || I <- lists:seq(0, {})], ",
            accounts.saturating_sub(1)
        )
    });
    // No node name: it needs no port mapper then, which would stay behind. The ports are open long
    // before the start is over.
    let mut command = site.program("erl");
    command.args(["+P", "250000", "-noinput", "-mnesia", "dir"]).arg(format!("\"{dir}/spool\""));
    command.args(["-s", "ejabberd", "-eval"]);
    command.arg(format!("{register}ok = file:write_file(\"{dir}/ready\", <<>>)."));
    command.env("ERL_LIBS", format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    command.env("EJABBERD_CONFIG_PATH", config).env("ERL_MAX_ETS_TABLES", "1400");
    command.env("EJABBERD_LOG_PATH", site.dir.join("ejabberd.log")).current_dir(spool);
    Ok(command)
}

fn prosody(site: &Site<'_>, accounts: Option<u32>) -> Result<Command> {
    let store = match site.store {
        Store::Default => "storage = \"internal\"".to_owned(),
        Store::Synced => format!(
            "storage = {{ offline = \"sql\" }}\n\
             sql = {{ driver = \"SQLite3\", database = \"{}/prosody.sqlite\" }}",
            site.dir.display()
        ),
    };
    let template = include_str!("config/prosody.cfg.lua");
    let config = site.configure("prosody.cfg.lua", template, &[("@STORE@", &store)])?;
    if let Some(accounts) = accounts {
        let folder = site.dir.join("data/localhost/accounts");
        std::fs::create_dir_all(&folder)?;
        for user in 0..accounts {
            let account = "return {\n\t[\"password\"] = \"pw\";\n};\n";
            std::fs::write(folder.join(format!("u{user}.dat")), account)?;
        }
    }
    let mut command = site.program("/usr/bin/prosody");
    command.arg("--config").arg(config).arg("-F");
    Ok(command)
}

/// One certificate authority and one certificate for all of them, P-256, valid for a day or so.
pub(super) fn make_certificates(dir: &Path) -> Result<()> {
    tools::debian_packages(&["openssl"])?;
    let file = |name: &str| dir.join(name);
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let mut authority = Command::new("openssl");
    authority.args(["req", "-x509", "-days", "2", "-subj", "/CN=peers"]).args(key);
    authority.arg("-keyout").arg(file("ca.key")).arg("-out").arg(file("ca.pem"));
    let mut request = Command::new("openssl");
    request.args(["req", "-subj", "/CN=localhost"]).args(key);
    request.arg("-keyout").arg(file("leaf.key")).arg("-out").arg(file("leaf.csr"));
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
    std::fs::write(file("names"), names)?;
    let mut leaf = Command::new("openssl");
    leaf.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(file("leaf.csr"));
    leaf.arg("-CA").arg(file("ca.pem")).arg("-CAkey").arg(file("ca.key"));
    leaf.arg("-extfile").arg(file("names")).arg("-out").arg(file("leaf.pem"));
    for command in [&mut authority, &mut request, &mut leaf] {
        run_command(command.stderr(Stdio::null()))?;
    }
    let mut both = std::fs::read(file("leaf.pem"))?;
    both.extend(std::fs::read(file("leaf.key"))?);
    std::fs::write(file("both.pem"), both)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_of_a_configuration_stays_empty() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, store) in
            Kind::ALL.into_iter().flat_map(|kind| Store::BOTH.map(|store| (kind, store)))
        {
            let dir = folder.path().join(format!("{}-{}", kind.name(), store.name()));
            std::fs::create_dir(&dir).unwrap();
            let site = Site { dir: &dir, tls: &dir, port: 1883, tls_port: 8883, store, pin: true };
            kind.prepare(&site, None).unwrap();
            let name = std::fs::read_dir(&dir).unwrap().flatten().find(|f| f.path().is_file());
            let config = std::fs::read_to_string(name.unwrap().path()).unwrap();
            assert!(!config.contains('@'), "{kind:?} {store:?}: {config}");
            assert!(config.contains("1883") && config.contains("8883"), "{config}");
        }
    }

    #[test]
    fn prosody_finds_its_accounts() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let site = Site { dir, tls: dir, port: 1, tls_port: 2, store: Store::Default, pin: false };
        Kind::Prosody.prepare(&site, Some(3)).unwrap();
        let accounts = std::fs::read_dir(dir.join("data/localhost/accounts")).unwrap();
        assert_eq!(accounts.count(), 3);
    }
}
