//! How far the main device has come in linking another one, and which one that is.

use std::fmt;

use godwit_seal::{LinkCode, RENDEZVOUS_BYTES};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Which linking: the rendezvous of the code that the new device shows. Several programs of one home may
/// want to link a device at once; each takes only what belongs to its own code.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkId(pub(crate) [u8; RENDEZVOUS_BYTES]);

impl LinkId {
    /// That of this code.
    ///
    /// # Errors
    /// [`Error::Linking`] that says what is wrong with the code.
    pub fn of_code(code: &str) -> Result<Self, Error> {
        let code: LinkCode = code.parse().map_err(|error| Error::linking(&error))?;
        Ok(Self(*code.rendezvous()))
    }
}

/// Whoever knows a rendezvous can disturb those who meet there, so it is not printed by accident.
impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkId(..)")
    }
}

/// How far the main device has come in linking another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LinkingState {
    /// The new device has not answered yet.
    Waiting,
    /// The user compares these digits with those on the new device.
    Compare {
        /// Six digits.
        digits: String,
        /// The number that the new device will have.
        device: u32,
    },
    /// The server is given the list with the new device.
    Publishing,
    /// It is one of the account's devices.
    Linked {
        /// Its number.
        device: u32,
    },
    /// It came to nothing.
    Failed {
        /// What happened and what to do.
        reason: String,
    },
}
