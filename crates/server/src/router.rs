//! What the store calls after each durable batch: ticks and records find their sessions. Runs on the
//! store's writer thread, so it looks up, pushes, wakes, and returns.

use std::sync::Arc;

use godwit_actor::Push;
use godwit_base::DeviceId;
use godwit_store::{Appended, Settled, Sink};
use godwit_wire::Refusal;

use crate::meters::Meters;
use crate::registry::Registry;
use crate::seat::Word;

/// Hands what the store tells to the sessions it concerns. A session that is gone needs nothing: its
/// device learns the outcome by sending again, and its records wait in the mailbox.
pub(crate) struct Router {
    pub(crate) registry: Arc<Registry>,
    pub(crate) meters: Arc<Meters>,
}

impl Sink for Router {
    fn settled(&self, settled: &[Settled]) {
        for one in settled {
            if let Some(seat) = self.registry.by_token(one.token) {
                seat.tell(Word::Settled { counter: one.counter, outcome: one.outcome.clone() });
            }
        }
    }

    fn appended(&self, appended: &[Appended]) {
        for one in appended {
            let Some(seat) = self.registry.by_device(one.device) else { continue };
            if seat.hand(one.record.clone()) == Push::Overflowed {
                self.meters.records_behind.inc();
            }
        }
    }

    fn missed(&self) {
        self.registry.each_attached(|seat| seat.records.mark_behind());
    }

    fn removed(&self, devices: &[DeviceId]) {
        for device in devices {
            tracing::info!(%device, "device removed from its account");
            if let Some(seat) = self.registry.by_device(*device) {
                seat.tell(Word::Close(Refusal::DeviceRevoked, 0));
            }
        }
    }
}
