//! A real server of S3 for the test of files in a bucket: Ceph's gateway, over one monitor and one object
//! daemon that keeps everything in memory. It is up in 12 s, takes 150 MB, and ends with this.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::crash::pause;
use crate::shell::root;
use crate::tools;

/// Who may use it, and by what.
pub(crate) const ACCESS_KEY: &str = "godwit";
pub(crate) const SECRET_KEY: &str = "a secret of the test";

/// How long it may take until it listens: fifteen times what it takes where nothing else runs.
const START: Duration = Duration::from_secs(180);

/// Between two looks whether it listens.
const LOOK_MS: u64 = 200;

/// What each part may do. The object daemon gets its key when it is announced.
const PARTS: [(&str, &[&str]); 3] = [
    ("mon.", &["mon", "allow *"]),
    ("client.admin", &["mon", "allow *", "osd", "allow *"]),
    ("client.gateway", &["mon", "allow rwx", "osd", "allow rwx"]),
];

/// A running server.
pub(crate) struct S3 {
    home: PathBuf,
    endpoint: String,
    daemons: Vec<Child>,
}

impl S3 {
    /// Starts it on free ports, with nothing in it.
    pub(crate) fn start() -> Result<Self> {
        tools::ceph()?;
        let home = root().join("target/ceph");
        match fs::remove_dir_all(&home) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        for folder in ["mon", "osd", "gateway", "run"] {
            fs::create_dir_all(home.join(folder))?;
        }
        let (monitor, gateway) = (free_port()?, free_port()?);
        let (cluster, object_daemon) = (uuid()?, uuid()?);
        fs::write(home.join("ceph.conf"), configuration(&home, &cluster, monitor, gateway))?;
        let endpoint = format!("http://127.0.0.1:{gateway}");
        let mut server = Self { home, endpoint, daemons: Vec::new() };
        server.start_monitor(&cluster, monitor)?;
        server.start_object_daemon(&object_daemon)?;
        server.start_gateway(gateway)?;
        Ok(server)
    }

    /// Its web address.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn start_monitor(&mut self, cluster: &str, port: u16) -> Result<()> {
        let (keyring, map) = (self.path("keyring"), self.path("monmap"));
        tool("ceph-authtool", &["--create-keyring", &keyring])?;
        for (name, may) in PARTS {
            let caps = may.chunks(2).flat_map(|pair| ["--cap", pair[0], pair[1]]);
            let arguments = [keyring.as_str(), "--gen-key", "-n", name].into_iter().chain(caps);
            tool("ceph-authtool", &arguments.collect::<Vec<_>>())?;
        }
        let address = format!("[v2:127.0.0.1:{port}]");
        tool("monmaptool", &["--create", "--addv", "a", &address, "--fsid", cluster, &map])?;
        let new = ["--mkfs", "-i", "a", "--monmap", &map, "--keyring", &keyring];
        self.told("ceph-mon", &new)?;
        self.run("ceph-mon", &["-i", "a"])
    }

    fn start_object_daemon(&mut self, uuid: &str) -> Result<()> {
        let (keyring, told) = (self.path("keyring"), self.path("osd.json"));
        let key = tool("ceph-authtool", &["--gen-print-key"])?;
        tool("ceph-authtool", &[&keyring, "-n", "osd.0", "--add-key", &key])?;
        fs::write(&told, format!("{{\"cephx_secret\": \"{key}\"}}"))?;
        self.told("ceph", &["--connect-timeout", "60", "osd", "new", uuid, "-i", &told])?;
        self.told("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", uuid])?;
        self.run("ceph-osd", &["-i", "0"])
    }

    fn start_gateway(&mut self, port: u16) -> Result<()> {
        self.run("radosgw", &["-n", "client.gateway"])?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            for daemon in &mut self.daemons {
                let ended = daemon.try_wait()?;
                ensure!(ended.is_none(), "a part of Ceph ended: see {}", self.home.display());
            }
            ensure!(began.elapsed() < START, "Ceph does not listen: see {}", self.home.display());
            pause(LOOK_MS);
        }
        let keys = ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY];
        let user = ["user", "create", "--uid", "godwit", "--display-name", "godwit"];
        self.told("radosgw-admin", &[user.as_slice(), &keys].concat()).map(drop)
    }

    fn path(&self, name: &str) -> String {
        self.home.join(name).to_string_lossy().into_owned()
    }

    /// Runs a tool on this cluster to its end.
    fn told(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let configuration = self.path("ceph.conf");
        tool(program, &[&["-c", &configuration], arguments].concat())
    }

    /// Starts a daemon of this cluster.
    fn run(&mut self, program: &str, arguments: &[&str]) -> Result<()> {
        let output = fs::File::create(self.path(&format!("{program}.out")))?;
        let mut command = Command::new(program);
        command.args(["-f", "-c", &self.path("ceph.conf")]).args(arguments);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        self.daemons.push(child);
        Ok(())
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Runs a tool to its end; what it says.
fn tool(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// One copy of everything, on this machine alone.
fn configuration(home: &Path, cluster: &str, monitor: u16, gateway: u16) -> String {
    let home = home.display();
    format!(
        "[global]
fsid = {cluster}
mon initial members = a
mon host = [v2:127.0.0.1:{monitor}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {home}/keyring
run dir = {home}/run
pid file = {home}/run/$name.pid
log file = {home}/$name.log
crash dir = {home}/run
admin socket =
mon data = {home}/mon
mon allow pool size one = true
osd data = {home}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
rgw data = {home}/gateway
rgw frontends = beast endpoint=127.0.0.1:{gateway}
"
    )
}

/// A port that nobody has at this moment.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn uuid() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned())
}
