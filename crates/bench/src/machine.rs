//! What the kernel tells about processes and the machine. Linux tells it under /proc; elsewhere the
//! figures are missing and the load runs all the same.

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::LoadError;

/// Clock ticks a second in /proc: a constant of Linux's interface on every architecture.
const TICKS_PER_S: u64 = 100;

/// Bytes a page in /proc/net/sockstat and /proc/PID/statm, on the machines that we measure on.
const PAGE_BYTES: u64 = 4096;

/// Some processes, by id.
#[derive(Debug, Clone, Default)]
pub struct Processes(pub Vec<u32>);

impl Processes {
    /// This process.
    pub fn me() -> Self {
        Self(vec![std::process::id()])
    }

    /// User and system CPU time so far, to 10 ms. `None` if not all can be read.
    pub fn cpu(&self) -> Option<Duration> {
        let ticks = |pid| process_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
        Some(of_ticks(self.0.iter().map(ticks).sum::<Option<u64>>()?))
    }

    /// Memory: pages of their own, and their share of shared ones. `None` if not all can be read.
    pub fn pss_bytes(&self) -> Option<u64> {
        let pss = |pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            kib_field(&text, "Pss:")
        };
        self.0.iter().map(pss).sum()
    }

    /// Memory that they have in RAM: cheap to ask, shared pages counted for each. `None` if not all can
    /// be read.
    pub fn rss_bytes(&self) -> Option<u64> {
        let rss = |pid| {
            let pages = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
            Some(pages.split(' ').nth(1)?.parse::<u64>().ok()? * PAGE_BYTES)
        };
        self.0.iter().map(rss).sum()
    }
}

/// CPU time of the threads of this process whose names start so, to 10 ms each.
pub fn threads_cpu(name: &str) -> Option<Duration> {
    let threads = fs::read_dir("/proc/self/task").ok()?.flatten();
    let ticks = threads.filter_map(|thread| {
        let read = |file| fs::read_to_string(thread.path().join(file)).ok();
        read("comm").filter(|comm| comm.starts_with(name))?;
        process_ticks(&read("stat")?)
    });
    Some(of_ticks(ticks.sum()))
}

/// Binds this process, and what it starts from now on, to all CPUs but the first.
///
/// # Errors
/// [`LoadError::Io`] when there is no `taskset`, or no second CPU.
pub fn leave_first_cpu() -> Result<(), LoadError> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let (others, me) = (format!("1-{}", cpus - 1), std::process::id().to_string());
    let mut taskset = std::process::Command::new("taskset");
    taskset.args(["-a", "-c", "-p", &others, &me]).stdout(std::process::Stdio::null());
    let status = taskset.status().map_err(LoadError::io("running taskset"))?;
    let refused = || std::io::Error::other("taskset refused; --pin needs two CPUs");
    status.success().then_some(()).ok_or_else(refused).map_err(LoadError::io("binding to CPUs"))
}

/// Memory that the kernel of this machine holds: its object caches and the buffers of TCP.
pub fn kernel_bytes() -> Option<u64> {
    let slab = kib_field(&fs::read_to_string("/proc/meminfo").ok()?, "Slab:")?;
    let sockets = fs::read_to_string("/proc/net/sockstat").ok()?;
    Some(slab + tcp_pages(&sockets)? * PAGE_BYTES)
}

/// All of this machine's memory.
pub fn memory_bytes() -> Option<u64> {
    kib_field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// A bound of the kernel's, by its path below /proc/sys; `None` if this kernel has no such thing.
pub fn kernel_limit(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
}

/// Memory that the kernel holds for sockets alone: unlike [`kernel_bytes`] it does not move when
/// somebody else opens files. `None` for all but root.
pub fn socket_bytes() -> Option<u64> {
    Some(socket_caches(&fs::read_to_string("/proc/slabinfo").ok()?))
}

/// CPU time that all processes of this machine spent so far, to 10 ms for each CPU.
fn machine_cpu() -> Option<Duration> {
    Some(of_ticks(busy_ticks(&fs::read_to_string("/proc/stat").ok()?)?))
}

/// Under which conditions a figure was taken: to be read before it is compared.
#[derive(Debug, Clone, Serialize)]
pub struct Conditions {
    /// Version of this program.
    pub version: &'static str,
    /// CPUs that the clients may use; with `--pin` the server has another.
    pub cpus: usize,
    /// Their model.
    pub cpu_model: Option<String>,
    /// Version of the kernel.
    pub kernel: Option<String>,
    /// File system under the data folder: nothing is durable on a tmpfs.
    pub data_filesystem: Option<String>,
    /// Whether CPUs were kept from going idle.
    pub kept_awake: bool,
    /// Who keeps them from it: not counted as others.
    #[serde(skip)]
    spinners: Processes,
    /// A build without optimisation: its figures mean nothing.
    pub debug_build: bool,
}

impl Conditions {
    /// The conditions of this machine, for data under `data`, with CPUs kept awake by `spinners`.
    pub fn here(data: &std::path::Path, spinners: &Processes) -> Self {
        let read = |path| fs::read_to_string(path).ok();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_model: read("/proc/cpuinfo").and_then(|text| {
                let line = text.lines().find(|line| line.starts_with("model name"))?;
                Some(line.split_once(": ")?.1.to_owned())
            }),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            data_filesystem: read("/proc/mounts").and_then(|text| filesystem(&text, data)),
            kept_awake: !spinners.0.is_empty(),
            spinners: spinners.clone(),
            debug_build: cfg!(debug_assertions),
        }
    }

    /// Starts measuring; `server` is unknown when the load joined somebody else's.
    pub fn stretch(&self, server: Option<&Processes>, clients: &Processes) -> Stretch {
        Stretch {
            server: server.cloned(),
            clients: clients.clone(),
            spinners: self.spinners.clone(),
            began: Instant::now(),
            server_cpu: server.and_then(Processes::cpu),
            client_cpu: clients.cpu(),
            spinner_cpu: self.spinners.cpu(),
            machine_cpu: machine_cpu(),
        }
    }
}

/// A stretch of a run, with the CPU times at its start.
pub struct Stretch {
    server: Option<Processes>,
    clients: Processes,
    spinners: Processes,
    began: Instant,
    server_cpu: Option<Duration>,
    client_cpu: Option<Duration>,
    spinner_cpu: Option<Duration>,
    machine_cpu: Option<Duration>,
}

/// What a stretch took.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// Time on the wall.
    pub wall: Duration,
    /// CPU time of the server, if it could be read.
    pub server_cpu: Option<Duration>,
    /// CPU time of the clients.
    pub client_cpu: Option<Duration>,
    /// CPUs that something else kept busy on average: well below 0.1 on a quiet machine.
    pub others_cpus: Option<f64>,
}

impl Stretch {
    /// What was spent since the start.
    pub fn end(&self) -> Spent {
        let since = |now: Option<Duration>, then: Option<Duration>| {
            now.zip(then).map(|(now, then)| now.saturating_sub(then))
        };
        let wall = self.began.elapsed();
        let server_cpu = since(self.server.as_ref().and_then(Processes::cpu), self.server_cpu);
        let client_cpu = since(self.clients.cpu(), self.client_cpu);
        let spinner_cpu = since(self.spinners.cpu(), self.spinner_cpu);
        let ours: Duration = [server_cpu, client_cpu, spinner_cpu].into_iter().flatten().sum();
        let others_cpus = since(machine_cpu(), self.machine_cpu)
            .map(|all| all.saturating_sub(ours).as_secs_f64() / wall.as_secs_f64());
        Spent { wall, server_cpu, client_cpu, others_cpus }
    }
}

impl Spent {
    /// Events a second of wall time.
    pub fn per_s(&self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }

    /// Server CPU time for each of `count` events, microseconds.
    pub fn server_us_each(&self, count: u64) -> Option<f64> {
        us_each(self.server_cpu, count)
    }

    /// Client CPU time for each of `count` events, microseconds.
    pub fn client_us_each(&self, count: u64) -> Option<f64> {
        us_each(self.client_cpu, count)
    }
}

fn us_each(cpu: Option<Duration>, count: u64) -> Option<f64> {
    cpu.filter(|_| count > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / count as f64)
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1_000 / TICKS_PER_S)
}

/// Fields 14 and 15 of /proc/PID/stat. The name in field 2 may hold anything, also `)`.
fn process_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// User, nice, system, irq and softirq of /proc/stat: not idle, not waiting, not stolen.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).map_while(|f| f.parse().ok()).collect();
    [0, 1, 2, 5, 6].into_iter().map(|index| fields.get(index)).sum()
}

fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP: "))?;
    line.split_once("mem ")?.1.trim().parse().ok()
}

/// Caches with one object a socket or an open file, or two.
const SOCKET_CACHES: [&str; 8] = [
    "TCP",
    "sock_inode_cache",
    "filp",
    "eventpoll_epi",
    "eventpoll_pwq",
    "ep_head",
    "lsm_inode_cache",
    "lsm_file_cache",
];

/// Bytes of the caches of sockets in /proc/slabinfo (name, active objects, objects, bytes each). A
/// socket's directory entry is counted by its inode: files have entries in the same cache.
fn socket_caches(slabinfo: &str) -> u64 {
    let cache = |name| {
        let line = slabinfo.lines().find(|line| line.split_whitespace().next() == Some(name))?;
        let mut numbers = line.split_whitespace().skip(2).map_while(|field| field.parse().ok());
        let (objects, bytes): (u64, u64) = (numbers.next()?, numbers.next()?);
        Some((objects, bytes))
    };
    let own: u64 =
        SOCKET_CACHES.iter().filter_map(|name| cache(name)).map(|(n, each)| n * each).sum();
    let entries = cache("sock_inode_cache").zip(cache("dentry"));
    own + entries.map_or(0, |((inodes, _), (_, each))| inodes * each)
}

/// The type of the file system with the longest mount point above `path`.
fn filesystem(mounts: &str, path: &std::path::Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        path.starts_with(point).then_some((point.len(), kind))
    });
    above.max_by_key(|(length, _)| *length).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 250 17 0 0 20 0 3 0 9 0 0";
        assert_eq!(process_ticks(stat), Some(267));
        assert_eq!(of_ticks(267), Duration::from_millis(2_670));
        assert_eq!(process_ticks("42 (a"), None);
    }

    #[test]
    fn busy_is_neither_idle_nor_waiting_nor_stolen() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 1000 0 0\ncpu0 9"), Some(31));
        assert_eq!(busy_ticks("cpu  1 2"), None);
    }

    #[test]
    fn fields_are_found_with_their_units() {
        assert_eq!(kib_field("Rss: 9 kB\nPss:     254 kB\n", "Pss:"), Some(254 * 1024));
        assert_eq!(kib_field("Rss: 9 kB\n", "Pss:"), None);
        let sockstat = "sockets: used 22\nTCP: inuse 3 orphan 0 tw 4 alloc 3 mem 199\nUDP: mem 1";
        assert_eq!(tcp_pages(sockstat), Some(199));
    }

    #[test]
    fn only_the_caches_of_sockets_are_counted() {
        let slabinfo = "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\n\
            TCPv6 9 9 2496 13 8\nTCP 90 100 2368 13 8\nsock_inode_cache 99 100 832 19 4\n\
            dentry 5000 6000 192 21 1\next4_inode_cache 900 900 1128 14 4\n";
        assert_eq!(socket_caches(slabinfo), 100 * (2368 + 832 + 192));
    }

    #[test]
    fn the_nearest_mount_decides_the_filesystem() {
        let mounts = "a / ext4 rw 0 0\nb /proc proc rw 0 0\n";
        assert_eq!(filesystem(mounts, "/proc/self".as_ref()).as_deref(), Some("proc"));
        assert_eq!(filesystem(mounts, "/".as_ref()).as_deref(), Some("ext4"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_real_machine_can_be_read() {
        let me = Processes::me();
        let nobody = Processes::default();
        let stretch = Conditions::here("/".as_ref(), &nobody).stretch(Some(&me), &nobody);
        while me.cpu().is_some_and(|cpu| cpu < Duration::from_millis(20)) {
            std::hint::spin_loop(); // until the kernel has seen us work
        }
        let spent = stretch.end();
        assert!(spent.server_cpu.is_some() && spent.others_cpus.is_some());
        assert!(me.pss_bytes().is_some_and(|bytes| bytes > 100_000));
        assert!(me.rss_bytes().is_some_and(|bytes| bytes > 100_000));
        assert!(kernel_bytes().is_some_and(|bytes| bytes > 1_000_000));
        assert!(Processes(vec![u32::MAX]).cpu().is_none());
    }
}
