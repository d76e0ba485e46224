//! What was checked, as a type.

use std::ops::Deref;

/// A value whose signatures were checked. Nothing outside this crate can make one, so that
/// unverified keys cannot reach a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Says that `value` was checked; called by the `verify` functions and when a sealed row of
    /// such a value is read back.
    pub(crate) const fn vouch(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
