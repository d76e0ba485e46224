//! Why a task does not go on: it is refused, which is an answer, or the engine is at fault, which
//! ends the batch.

use crate::StoreError;
use crate::embedded::fault::Fault;

/// Leaves a task by `?`.
#[derive(Debug)]
pub(super) enum Stop<E> {
    Refused(E),
    Fault(Fault),
}

/// A task's way of saying how it went.
pub(super) type Step<T, E> = Result<T, Stop<E>>;

impl<E, F: Into<Fault>> From<F> for Stop<E> {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

/// The answer, or the fault that ends the batch.
pub(super) fn answer<T, E>(step: Step<T, E>) -> Result<Result<T, E>, Fault> {
    match step {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Refuses by `refusal` unless `holds`.
pub(super) fn require<E>(holds: bool, refusal: E) -> Step<(), E> {
    if holds { Ok(()) } else { Err(Stop::Refused(refusal)) }
}

/// Refuses what takes room while the disk is below its reserve.
pub(super) fn require_room<E: From<StoreError>>(disk_full: bool) -> Step<(), E> {
    require(!disk_full, StoreError::DiskFull.into())
}
