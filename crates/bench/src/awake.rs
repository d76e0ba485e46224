//! Keeps the CPUs from going idle. A virtual CPU that sleeps is woken only at the next timer tick,
//! up to 4 ms later: without this a latency run on such a machine measures the tick.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use crate::error::LoadError;
use crate::machine::Processes;

/// What lets a process run only where nobody else wants to (SCHED_IDLE); part of util-linux.
const CHRT: &str = "chrt";

/// Spinners, one for each CPU, as processes that run only where nobody else wants to: also not in the turn
/// of a thread that has let others go first, as one of the least priority would.
/// Dropped, they end; they also end when this process does.
pub struct Awake(Vec<Child>);

impl Awake {
    /// Starts them.
    ///
    /// # Errors
    /// [`LoadError::NoSpinner`] when a process cannot be started.
    pub fn start() -> Result<Self, LoadError> {
        Self::start_by(CHRT)
    }

    fn start_by(chrt: &str) -> Result<Self, LoadError> {
        let me = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let mut spinners = Self(Vec::with_capacity(cpus));
        for _ in 0..cpus {
            let mut command = Command::new(chrt);
            command.args(["--idle", "0"]).arg(&me).arg("spin");
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            let child = command.spawn().map_err(|error| LoadError::NoSpinner(error.to_string()))?;
            spinners.0.push(child);
        }
        Ok(spinners)
    }

    /// Looks whether all of them still run: without one of them the CPUs were not kept awake, and a report
    /// that says so would be wrong.
    ///
    /// # Errors
    /// [`LoadError::NoSpinner`] when one has ended; [`LoadError::Io`].
    pub fn still_spin(&mut self) -> Result<(), LoadError> {
        for child in &mut self.0 {
            let end = child.try_wait().map_err(LoadError::io("looking at a spinner"))?;
            if let Some(end) = end {
                return Err(LoadError::NoSpinner(format!("it ended: {end}")));
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_spin_is_noticed_and_it_is_said_what_to_install() {
        let missing = Awake::start_by("/nowhere/chrt").map(|_| ()).unwrap_err().to_string();
        let mut awake = Awake::start_by("false").unwrap();
        awake.0.iter_mut().for_each(|child| drop(child.wait()));
        let ended = awake.still_spin().unwrap_err().to_string();
        for said in [missing, ended] {
            assert!(said.contains("util-linux"), "{said}");
        }
    }

    #[test]
    fn who_spins_on_is_left_alone() {
        let mut command = Command::new("cat");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        assert!(Awake(vec![child]).still_spin().is_ok());
    }
}
