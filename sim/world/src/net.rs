//! A connection as the network knows it.

use crate::pipe::Hand;

/// One connection.
pub(crate) struct Link {
    pub(crate) phone: usize,
    pub(crate) hand: Hand,
    /// When the last bytes to the server arrive: later ones come no earlier.
    pub(crate) up_ms: u64,
    /// The same to the phone.
    pub(crate) down_ms: u64,
    /// Bytes to the server vanish.
    pub(crate) up_lost: bool,
    /// Bytes to the phone vanish.
    pub(crate) down_lost: bool,
    /// The next bytes to the server, or to the phone, arrive wrong.
    pub(crate) up_garbled: bool,
    pub(crate) down_garbled: bool,
    /// Something was wrong with it.
    pub(crate) is_spoiled: bool,
    /// The process that it led to is dead.
    pub(crate) is_orphan: bool,
    /// The server said that nothing follows.
    pub(crate) has_ended: bool,
}

impl Link {
    pub(crate) fn new(phone: usize, hand: Hand) -> Self {
        Self {
            phone,
            hand,
            up_ms: 0,
            down_ms: 0,
            up_lost: false,
            down_lost: false,
            up_garbled: false,
            down_garbled: false,
            is_spoiled: false,
            is_orphan: false,
            has_ended: false,
        }
    }
    /// Whether what either side says comes to the other.
    pub(crate) const fn works(&self) -> bool {
        !(self.up_lost || self.down_lost || self.is_orphan || self.has_ended)
    }

    /// Whether nothing was ever wrong with it.
    pub(crate) const fn is_well(&self) -> bool {
        self.works() && !self.is_spoiled
    }
}
