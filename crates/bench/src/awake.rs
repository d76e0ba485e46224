//! Keeps the CPUs from going idle. A virtual CPU that sleeps is woken only at the next timer tick,
//! up to 4 ms later: without this a latency run on such a machine measures the tick.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use crate::error::LoadError;
use crate::machine::Processes;

/// Spinners, one for each CPU, as processes that run only where nobody else wants to: also not in the turn
/// of a thread that has let others go first, as one of the least priority would.
/// Dropped, they end; they also end when this process does.
pub struct Awake(Vec<Child>);

impl Awake {
    /// Starts them.
    ///
    /// # Errors
    /// [`LoadError::Io`] when a process cannot be started.
    pub fn start() -> Result<Self, LoadError> {
        let me = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let mut spinners = Self(Vec::with_capacity(cpus));
        for _ in 0..cpus {
            let mut command = Command::new("chrt");
            command.args(["--idle", "0"]).arg(&me).arg("spin");
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            let child = command.spawn().map_err(LoadError::io("starting a spinner"))?;
            spinners.0.push(child);
        }
        Ok(spinners)
    }

    /// Their processes.
    pub fn processes(&self) -> Processes {
        Processes(self.0.iter().map(Child::id).collect())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a spinner does: nothing, at full speed, until its standard input ends.
pub fn spin() {
    let ended = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    while !ended.is_finished() {
        std::hint::spin_loop();
    }
}
