//! The two senders are alike, and so are the two devices: of the states that differ only by who is which one is
//! looked at.

use stateright::Representative;

use crate::state::{Client, Entry, Record, SENDERS, State, ToClient, Work};

impl Representative for State {
    fn representative(&self) -> Self {
        self.least(|_| ())
    }
}

/// The same where steps are merged, and the order of submissions of different senders is none.
pub(crate) fn representative_of_merged(state: &State) -> State {
    state.least(State::sort_queue)
}

impl State {
    fn least(&self, sort: impl Fn(&mut Self)) -> Self {
        let swapped = |senders: bool, devices: bool| {
            let mut state = self.swapped(senders, devices);
            sort(&mut state);
            state
        };
        let (senders, devices) = (swapped(true, false), swapped(false, true));
        let both = swapped(true, true);
        let least = [&senders, &devices, &both].into_iter().fold(self, |a, b| a.min(b));
        least.clone()
    }
}

/// Who changes places.
#[derive(Clone, Copy)]
struct Swap {
    senders: bool,
    devices: bool,
}

impl Swap {
    const fn sender(self, index: u8) -> u8 {
        if self.senders { 1 - index } else { index }
    }

    const fn device(self, index: u8) -> u8 {
        if self.devices { 1 - index } else { index }
    }

    fn client(self, client: Client) -> Client {
        match client.as_sender() {
            Some(_) => Client(self.sender(client.0)),
            None => {
                const FIRST: u8 = 2;
                Client(FIRST + self.device(client.0 - FIRST))
            }
        }
    }

    fn record(self, record: &mut Record) {
        match &mut record.entry {
            Entry::Message { from, .. } => *from = self.sender(*from),
            Entry::Receipt { by, .. } => *by = self.device(*by),
        }
    }
}

impl State {
    fn swapped(&self, senders: bool, devices: bool) -> Self {
        let swap = Swap { senders, devices };
        let mut state = self.clone();
        if senders {
            state.senders.swap(0, 1);
            state.links.swap(0, 1);
            for device in &mut state.devices {
                device.shown.swap(0, 1);
                device.staged.swap(0, 1);
            }
            let store = &mut state.store;
            store.receipts.swap(0, 1);
            store.newest.swap(0, 1);
            store.windows.swap(0, 1);
            store.full.swap(0, 1);
            store.holds.swap(0, 1);
            store.acks.swap(0, 1);
        }
        if devices {
            state.devices.swap(0, 1);
            state.links.swap(SENDERS, SENDERS + 1);
            state.senders.iter_mut().for_each(|sender| sender.delivered.swap(0, 1));
            state.store.deleted.swap(0, 1);
            state.store.acks.swap(SENDERS, SENDERS + 1);
        }
        state.rename(swap);
        state
    }

    fn rename(&mut self, swap: Swap) {
        for link in &mut self.links {
            for session in link.now.iter_mut().chain(&mut link.before) {
                session.inbox.iter_mut().for_each(|record| swap.record(record));
                for said in &mut session.down {
                    if let ToClient::Record(record) = said {
                        swap.record(record);
                    }
                }
            }
        }
        let store = &mut self.store;
        store.log.iter_mut().for_each(|(from, _)| *from = swap.sender(*from));
        store.receipts.iter_mut().flatten().for_each(|record| swap.record(record));
        store.queue.iter_mut().for_each(|one| one.from = swap.sender(one.from));
        match &mut store.batch {
            Some(Work::Submit(one)) => one.from = swap.sender(one.from),
            Some(Work::Acknowledge(client, _)) => *client = swap.client(*client),
            None => {}
        }
        for (from, by, _) in &mut store.owed {
            (*from, *by) = (swap.sender(*from), swap.device(*by));
        }
    }
}
