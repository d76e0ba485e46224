//! Bytes on their way: pieces with delays, in order, and what is wrong with a connection.

use super::{Happens, World};
use crate::replay::note;

impl World {
    /// Bytes set off for the server.
    pub(super) fn up(&mut self, id: u64, bytes: &[u8]) {
        for chunk in self.chunks(bytes) {
            let ms = self.latency();
            let Some(link) = self.links.get_mut(&id) else { return };
            link.up_ms = link.up_ms.max(self.now_ms + ms);
            let ms = link.up_ms - self.now_ms;
            self.after(ms, Happens::Up(id, chunk));
        }
    }

    pub(super) fn up_end(&mut self, id: u64, reset: bool) {
        let ms = self.latency();
        let Some(link) = self.links.get_mut(&id) else { return };
        link.up_ms = link.up_ms.max(self.now_ms + ms);
        let ms = link.up_ms - self.now_ms;
        self.after(ms, Happens::UpEnd(id, reset));
    }

    /// Bytes set off for the phone.
    pub(super) fn down(&mut self, id: u64, bytes: &[u8]) {
        for chunk in self.chunks(bytes) {
            let ms = self.latency();
            let Some(link) = self.links.get_mut(&id) else { return };
            link.down_ms = link.down_ms.max(self.now_ms + ms);
            let ms = link.down_ms - self.now_ms;
            self.after(ms, Happens::Down(id, chunk));
        }
    }

    pub(super) fn down_end(&mut self, id: u64) {
        let ms = self.latency();
        let Some(link) = self.links.get_mut(&id) else { return };
        link.down_ms = link.down_ms.max(self.now_ms + ms);
        let ms = link.down_ms - self.now_ms;
        self.after(ms, Happens::DownEnd(id));
    }

    /// Bytes come in pieces, as the network likes.
    fn chunks(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        let mut rest = bytes;
        while rest.len() > 1 && chunks.len() < 3 && self.rng.u8(0..4) == 0 {
            let (chunk, later) = rest.split_at(self.rng.usize(1..rest.len()));
            chunks.push(chunk.to_vec());
            rest = later;
        }
        chunks.push(rest.to_vec());
        chunks
    }

    pub(super) fn arrive_up(&mut self, id: u64, bytes: &[u8]) {
        let is_up = self.house.is_some() || self.moving.is_some();
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.up_lost {
            return;
        }
        if link.is_orphan {
            // Nobody is there to know this connection; a machine that is up says so.
            if is_up {
                self.down_end(id);
            }
            return;
        }
        let garbled = std::mem::take(&mut link.up_garbled);
        let hand = link.hand.clone();
        note(format_args!("up {id}"), bytes);
        hand.push(&self.garble(bytes, garbled));
    }

    pub(super) fn end_up(&mut self, id: u64, reset: bool) {
        let Some(link) = self.links.get(&id) else { return };
        if link.up_lost {
            return;
        }
        note(format_args!("up {id} ends"), &[u8::from(reset)]);
        if reset {
            link.hand.reset();
        } else {
            link.hand.end();
        }
        let phone = link.phone;
        if self.phones.get(phone).is_none_or(|phone| phone.link != Some(id)) {
            self.forget_later(id);
        }
    }

    /// A connection that both sides know to be over is nothing any more.
    fn forget_later(&mut self, id: u64) {
        if self.links.get(&id).is_some_and(|link| link.is_orphan || link.has_ended) {
            self.links.remove(&id);
        }
    }

    pub(super) fn arrive_down(&mut self, id: u64, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.down_lost {
            return;
        }
        let garbled = std::mem::take(&mut link.down_garbled);
        link.hand.arrived(bytes.len());
        let phone = link.phone;
        note(format_args!("down {id}"), bytes);
        let bytes = self.garble(bytes, garbled);
        let now_ms = self.now_ms;
        match self.phones.get_mut(phone) {
            Some(phone) if phone.link == Some(id) => {
                let now = phone.now(now_ms);
                if let Some(core) = &mut phone.device.core {
                    core.on_bytes(&bytes, now);
                }
            }
            // The phone knows nothing of it any more, and says so.
            _ => self.up_end(id, true),
        }
    }

    pub(super) fn end_down(&mut self, id: u64) {
        let Some(link) = self.links.get(&id) else { return };
        if link.down_lost {
            return;
        }
        note(format_args!("down {id} ends"), &[]);
        let (phone, is_orphan) = (link.phone, link.is_orphan);
        let now_ms = self.now_ms;
        if let Some(phone) = self.phones.get_mut(phone)
            && phone.link == Some(id)
        {
            phone.link = None;
            let now = phone.now(now_ms);
            if let Some(core) = &mut phone.device.core {
                core.disconnected("closed", now);
            }
        }
        if is_orphan {
            self.links.remove(&id);
        } else {
            self.up_end(id, false);
        }
    }

    /// Bytes as they arrive when something on the way is broken.
    fn garble(&mut self, bytes: &[u8], garbled: bool) -> Vec<u8> {
        let mut wrong = bytes.to_vec();
        if !garbled || wrong.is_empty() {
            return wrong;
        }
        let at = self.rng.usize(0..wrong.len());
        match self.rng.u8(0..3) {
            0 => {
                if let Some(byte) = wrong.get_mut(at) {
                    *byte ^= 1 << self.rng.u8(0..8);
                }
            }
            1 => wrong.extend_from_slice(bytes),
            _ => wrong.rotate_left(at),
        }
        wrong
    }
}
