//! What the client tells, and what came of effects.

use godwit_client::core::Way;
use godwit_client::{
    Act, ChatId, ConnectionState, Error, Event, HistoryItem, HistoryProgress, WarningKind,
};

use super::{Effect, MessageState, Model, Outcome, Overlay, Place, Status};
use crate::chat::field::Field;
use crate::record::history_line;
use crate::text::one_line;

impl Model {
    pub(super) fn happened(&mut self, event: Event) {
        match event {
            Event::Message(item) => self.arrived(item),
            Event::State { id, with, state, .. } => {
                if let Some(open) = self.conversation.as_mut().filter(|open| open.with == with) {
                    open.set_state(id, state);
                }
                if let MessageState::Failed(failure) = state {
                    self.trouble(&format!("a message to {with} was not sent: {failure}"));
                }
            }
            Event::Reach { id, with, reach } => {
                if let Some(open) = self.conversation.as_mut().filter(|open| open.with == with) {
                    open.set_reach(id, reach);
                }
            }
            Event::Changed(changed) => {
                let with = &changed.with;
                if let Some(open) = self.conversation.as_mut().filter(|open| open.with == *with) {
                    open.apply(&changed);
                }
                self.effects.push(Effect::LoadChats); // for its newest text
            }
            Event::Expired { id, with } => {
                if let Some(open) = self.conversation.as_mut().filter(|open| open.with == with) {
                    open.remove(id);
                }
                self.effects.push(Effect::LoadChats);
            }
            Event::ReadElsewhere { with } => self.chats.mark_read(&with),
            Event::Presence { with, presence }
                if self.conversation.as_ref().is_some_and(|open| open.with == with) =>
            {
                self.presence = Some(presence);
            }
            // Its name, or that it is blocked, stands in the list.
            Event::CaughtUp | Event::Group { .. } | Event::Contact(_) => {
                self.effects.push(Effect::LoadChats);
            }
            Event::Connection(state) => self.connected(state),
            Event::Warning { kind, with, text } => {
                let who = with.map(|with| format!("{with}: ")).unwrap_or_default();
                self.trouble(&format!("{who}{}", one_line(&text)));
                if matches!(kind, WarningKind::KeyChange | WarningKind::DeviceList) {
                    self.effects.push(Effect::LoadChats); // its notice stands in the chat
                }
            }
            Event::Transfer { way: Way::Down, done_bytes, bytes, .. } if done_bytes < bytes => {
                let percent = done_bytes.saturating_mul(100) / bytes.max(1);
                self.status = Some(Status::Done(format!("fetching, {percent} %")));
            }
            Event::History(progress) => self.history(progress),
            Event::Linking { link, state } => self.linking_is(link, state),
            Event::Devices => self.reload_devices(),
            Event::Lagged(_) => self.reload(),
            _ => {} // what later versions tell, they show
        }
    }

    fn arrived(&mut self, item: HistoryItem) {
        self.chats.arrived(&item);
        let is_incoming = !item.is_outgoing();
        let with = item.with.clone();
        if let Some(open) = self.conversation.as_mut().filter(|open| open.with == with) {
            open.arrived(item);
            self.is_unseen |= is_incoming;
            self.read();
        }
        if is_incoming {
            self.effects.push(Effect::LoadChats); // for its count of what is unread
        }
    }

    /// More of what was said before this device was linked, or what this one gives to another.
    fn history(&mut self, progress: HistoryProgress) {
        self.history = (!progress.done).then_some(progress);
        if progress.done && !matches!(self.status, Some(Status::Trouble(_))) {
            self.status = Some(Status::Done(history_line(&progress)));
        }
        if progress.device == self.me.device.number.0 {
            self.effects.push(Effect::LoadChats);
            if progress.done {
                self.reload(); // older messages of the open chat may be there now
            }
        }
    }

    pub(super) fn connected(&mut self, state: ConnectionState) {
        self.retry_at_ms = match &state {
            ConnectionState::Offline { retry_in_ms, .. } => {
                retry_in_ms.map(|in_ms| self.now_ms.saturating_add(in_ms))
            }
            _ => None,
        };
        self.connection = state;
    }

    /// Events were dropped: what is on the screen may be old.
    fn reload(&mut self) {
        self.effects.push(Effect::LoadChats);
        self.reload_devices();
        if self.conversation.as_ref().is_some_and(|open| open.is_at_end()) {
            self.load(Place::Newest);
        }
    }

    pub(super) fn done(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Chats(Ok(chats)) => {
                self.chats.replace(chats);
                self.read();
            }
            Outcome::Page { with, place, page } => {
                let is_open = self.conversation.as_ref().is_some_and(|open| open.with == with);
                if is_open {
                    self.is_loading = false;
                    match page {
                        Ok(page) => self.page(place, page),
                        Err(error) => self.trouble(&error),
                    }
                }
            }
            Outcome::Sent { to, text, sent: Err(error) } => self.not_sent(&to, text, &error),
            Outcome::Acted { act: Act::Edit(text), done: Err(error) } => {
                let with = self.conversation.as_ref().map(|open| open.with.clone());
                match with {
                    Some(with) => self.not_sent(&with, text, &error),
                    None => self.trouble(&error),
                }
            }
            Outcome::Acted { done: Err(error), .. } => self.trouble(&error),
            Outcome::Watched { with, presence } => {
                if self.conversation.as_ref().is_some_and(|open| open.with == with) {
                    self.presence = presence.ok().flatten().or(self.presence);
                }
            }
            Outcome::Told
            | Outcome::Sent { .. }
            | Outcome::Acted { .. }
            | Outcome::MarkedRead(Ok(()))
            | Outcome::Dialled(Ok(())) => {}
            Outcome::Saved(Ok(path)) => {
                let path = path.display().to_string();
                self.status = Some(Status::Done(format!("saved as {}", one_line(&path))));
            }
            Outcome::Found { text, hits: Ok(hits) } => self.found(text, hits),
            Outcome::Safety { with, number: Ok(found) } => {
                if let Some(Overlay::Safety { with: shown, number }) = &mut self.overlay
                    && *shown == with
                {
                    *number = Some(found);
                }
            }
            Outcome::Safety { number: Err(error), .. } => {
                self.overlay = None;
                self.trouble(&error);
            }
            Outcome::Verified { with, verified, done: Ok(()) } => {
                self.chats.set_verified(&with, verified);
                self.effects.push(Effect::LoadChats);
                self.status = Some(Status::Done(match verified {
                    true => format!("{with} is verified"),
                    false => format!("{with} is not verified any more"),
                }));
            }
            Outcome::Devices { list: Ok(list), linking } => self.devices_are(list, linking),
            Outcome::Approved { code, done } => self.approved(code, done),
            Outcome::Confirmed(done) => self.confirmed(done),
            Outcome::Revoked { device, done } => self.revoked(device, done),
            Outcome::Chats(Err(error))
            | Outcome::Devices { list: Err(error), .. }
            | Outcome::Saved(Err(error))
            | Outcome::MarkedRead(Err(error))
            | Outcome::Dialled(Err(error))
            | Outcome::Found { hits: Err(error), .. }
            | Outcome::Verified { done: Err(error), .. } => self.trouble(&error),
        }
    }

    fn page(&mut self, place: Place, page: Vec<HistoryItem>) {
        let unread = self.open_chat().map_or(0, |chat| chat.unread);
        let Some(open) = self.conversation.as_mut() else { return };
        match place {
            Place::Newest => {
                open.show_newest(page, unread);
                self.read();
            }
            Place::Around(row) => open.show_found(page, row),
            Place::Before(_) => open.prepend(page),
            Place::After(_) => open.append(page),
        }
    }

    /// The text goes back to where it was typed, before what was typed since.
    fn not_sent(&mut self, to: &ChatId, text: String, error: &Error) {
        let is_open = self.conversation.as_ref().is_some_and(|open| open.with == *to);
        let field = match is_open {
            true => &mut self.composer,
            false => self.drafts.entry(to.clone()).or_default(),
        };
        *field = Field::holding(match field.is_blank() {
            true => text,
            false => format!("{text}\n{}", field.text()),
        });
        self.trouble(&format!("not sent: {error}"));
    }

    fn found(&mut self, text: String, hits: Vec<HistoryItem>) {
        if let Some(Overlay::Search(search)) = &mut self.overlay
            && search.field.text() == text
        {
            search.hits = hits;
            search.selected = 0;
            search.answered = text;
        }
    }
}
