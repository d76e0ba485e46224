//! The main device links another one: it meets it at a rendezvous of the server, shows the digits to
//! be compared, and when its user says that they are the same puts it on the account's list.
//!
//! In RAM alone: if this process ends, the user begins again with a new code. What was said at the
//! rendezvous is said again on every new link, the same bytes.

use godwit_base::DeviceNumber;
use godwit_base::limits::DEVICES_MAX;
use godwit_seal::{AccountKey, LinkApproval, LinkCandidate, LinkCode, Present};
use godwit_wire::{Refusal, ToServer, v1};
use zeroize::Zeroizing;

use super::asking::Request;
use super::now::Now;
use super::{Core, refusal_of};
use crate::{DeviceInfo, Error, Event, LinkId, LinkingState};

/// Longest that linking may take, 10 minutes: as long as the server keeps the rendezvous.
const LINKING_MS: u64 = 600_000;

/// Shortest pause after the server could not take a no, if it names none, 1 s.
const PAUSE_MS: u64 = 1_000;

/// A linking that was begun.
pub(super) struct Linking {
    link: LinkId,
    stage: Stage,
    until_ms: u64,
    /// The new device is to have the history.
    with_history: bool,
    /// The stage's requests are on their way on this link.
    asked: bool,
}

/// What is awaited.
enum Stage {
    /// The new device's answer to our card.
    Answer { approval: Box<LinkApproval>, card: Vec<u8> },
    /// The user's word.
    User(Box<LinkCandidate>),
    /// The server's, that it has the list with the new device.
    List(Box<LinkCandidate>),
    /// The server's, that message 2 lies there.
    Telling { number: DeviceNumber, message: Vec<u8> },
    /// The server's, that the no lies there; it is said again then, if the server could not take it. For
    /// everybody else it is over.
    Refusing { message: Vec<u8>, again_ms: Option<u64> },
    /// Nothing.
    Done(LinkingState),
}

impl Linking {
    /// Another linking has to wait for this one.
    fn is_going(&self, now: Now) -> bool {
        !self.is_over() && now.mono_ms < self.until_ms
    }

    /// Nobody waits for it here.
    const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Done(_) | Stage::Refusing { .. })
    }

    /// The user has not given the device a place on the list.
    const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Answer { .. } | Stage::User(_))
    }
}

impl Core {
    /// Begins to link the device that shows this code; begun already, it goes on. While it does, no
    /// other is begun: whoever compares the digits of one must never be shown those of another.
    ///
    /// # Errors
    /// [`Error::NotMain`]; [`Error::LinkingBusy`] while another one goes on; [`Error::TooManyDevices`];
    /// [`Error::Linking`] that says what is wrong with the code.
    pub fn approve_link(&mut self, code: &str, now: Now) -> Result<(), Error> {
        if !self.me.is_main() {
            return Err(Error::NotMain);
        }
        let code: LinkCode = code.parse().map_err(|error| Error::linking(&error))?;
        let link = LinkId(*code.rendezvous());
        match self.linking.as_ref().filter(|linking| linking.is_going(now)) {
            Some(going) if going.link == link => return Ok(()),
            Some(_) => return Err(Error::LinkingBusy),
            None => {}
        }
        // Said before the new device is met, which could not be told.
        if self.me.list.entries().len() >= DEVICES_MAX {
            return Err(Error::TooManyDevices { max: DEVICES_MAX });
        }
        let present = Present {
            handle: &self.me.home.handle,
            list: &self.me.list,
            server_key: &self.me.home.server_key,
        };
        let (approval, card) =
            LinkApproval::begin(&code, present).map_err(|error| Error::linking(&error))?;
        self.linking = Some(Linking {
            link,
            stage: Stage::Answer { approval: Box::new(approval), card },
            until_ms: now.mono_ms + LINKING_MS,
            with_history: false,
            asked: false,
        });
        Ok(())
    }

    /// The user has compared the digits, and they are the same. `with_history`: the new device is given
    /// what was said so far.
    ///
    /// # Errors
    /// [`Error::Linking`] if no digits are shown or the list has changed meanwhile; otherwise as
    /// [`add_device`](Self::add_device).
    pub fn confirm_link(
        &mut self,
        link: LinkId,
        with_history: bool,
        now: Now,
    ) -> Result<(), Error> {
        match self.linking.take() {
            Some(Linking { stage: Stage::User(candidate), link: own, until_ms, .. })
                if own == link =>
            {
                let entry =
                    candidate.entry(&self.me.list).map_err(|error| Error::linking(&error))?;
                let keys = candidate.first_keys().clone();
                self.add_device(entry, *candidate.link_key(), keys, now)?;
                let stage = Stage::List(candidate);
                let asked = false;
                self.linking = Some(Linking { link, stage, until_ms, with_history, asked });
                Ok(())
            }
            other => {
                self.linking = other;
                Err(Error::Linking("no digits are to be compared now".to_owned()))
            }
        }
    }

    /// The user says that the digits differ, or has changed their mind. A new device that shows digits is
    /// told; one that has not answered yet cannot be, and its code is over after ten minutes.
    pub fn cancel_link(&mut self, link: LinkId) {
        let is_it =
            |own: &mut Linking| own.link == link && !matches!(own.stage, Stage::Refusing { .. });
        if let Some(given_up) = self.linking.take_if(is_it) {
            if let Stage::User(candidate) = given_up.stage {
                let stage = Stage::Refusing { message: candidate.refuse(), again_ms: None };
                self.linking = Some(Linking { stage, asked: false, ..given_up });
            }
            let state = LinkingState::Failed { reason: "it was given up".to_owned() };
            self.say(Event::Linking { link, state });
        }
    }

    /// The program that began it has ended. What the user has confirmed goes on.
    pub fn abandon_link(&mut self, link: LinkId) {
        if self.linking.as_ref().is_some_and(Linking::is_open) {
            self.cancel_link(link);
        }
    }

    /// When linking is to end, if it goes on, or when the no is said again.
    pub(super) fn linking_due_ms(&self) -> Option<u64> {
        let linking = self.linking.as_ref()?;
        match linking.stage {
            Stage::Refusing { again_ms, .. } => again_ms,
            _ => (!linking.is_over()).then_some(linking.until_ms),
        }
    }

    /// Which linking was begun last, and how far it has come; `None` when nothing was begun.
    pub fn linking_state(&self) -> Option<(LinkId, LinkingState)> {
        let linking = self.linking.as_ref()?;
        let state = match &linking.stage {
            Stage::Answer { .. } => LinkingState::Waiting,
            Stage::User(candidate) => LinkingState::Compare {
                digits: candidate.digits().to_string(),
                device: candidate.number().0,
            },
            Stage::List(_) | Stage::Telling { .. } => LinkingState::Publishing,
            Stage::Refusing { .. } => return None,
            Stage::Done(state) => state.clone(),
        };
        Some((linking.link, state))
    }

    /// Whether the server has everything of this device that others need in order to write to it.
    pub fn is_settled(&self) -> bool {
        self.link.is_caught_up() && self.me.keys.is_published()
    }

    /// The account key as words, on the main device.
    ///
    /// # Errors
    /// [`Error::NotMain`].
    pub fn recovery_words(&self) -> Result<Zeroizing<String>, Error> {
        self.me.account_key().map(AccountKey::to_words).ok_or(Error::NotMain)
    }

    /// The account's devices, as far as this one knows. The main one has the lowest number: it alone puts
    /// others on the list, after itself, and it never takes itself off.
    pub fn device_infos(&self) -> Vec<DeviceInfo> {
        let own = self.me.device().number;
        let main = self.me.list.numbers().min();
        let info = |number: DeviceNumber| DeviceInfo {
            device: number.0,
            this: number == own,
            main: main == Some(number),
        };
        self.me.list.numbers().map(info).collect()
    }

    /// Tells when the account's devices are others than before.
    pub(super) fn tell_of_devices(&mut self) {
        let version = self.me.list.version();
        if std::mem::replace(&mut self.told_list, version) != version {
            self.say(Event::Devices);
        }
    }

    /// Says and asks what is due; called with each batch while the link is up.
    pub(super) fn tend_linking(&mut self, now: Now) {
        let Some(linking) = &mut self.linking else { return };
        if now.mono_ms >= linking.until_ms && !linking.is_over() {
            return self.linking_failed("ten minutes are over: begin again with a new code");
        }
        if let Stage::List(candidate) = &linking.stage {
            let number = candidate.number();
            if !self.me.list.numbers().any(|listed| listed == number) {
                return;
            }
            let stage =
                std::mem::replace(&mut linking.stage, Stage::Done(LinkingState::Publishing));
            if let Stage::List(candidate) = stage {
                let message = candidate.finish(&self.me.list);
                linking.stage = Stage::Telling { number, message };
                linking.asked = false;
            }
        }
        if let Stage::Refusing { again_ms, .. } = &mut linking.stage
            && again_ms.take_if(|at_ms| *at_ms <= now.mono_ms).is_some()
        {
            linking.asked = false;
        }
        if std::mem::replace(&mut linking.asked, true) {
            return;
        }
        let link = linking.link;
        match &linking.stage {
            Stage::Answer { card, .. } => {
                let card = card.clone();
                self.relay(Request::Leave(link), link, 1, card);
                self.relay(Request::Hear(link), link, 1, Vec::new());
            }
            Stage::Telling { message, .. } | Stage::Refusing { message, .. } => {
                let message = message.clone();
                self.relay(Request::Leave(link), link, 2, message);
            }
            Stage::User(_) | Stage::List(_) | Stage::Done(_) => {}
        }
    }

    /// What was asked on the old link is asked again on the next.
    pub(super) fn linking_link_lost(&mut self) {
        if let Some(linking) = &mut self.linking {
            linking.asked = false;
            if let Stage::Refusing { again_ms, .. } = &mut linking.stage {
                *again_ms = None;
            }
        }
    }

    fn relay(&mut self, kind: Request, link: LinkId, sequence: u32, body: Vec<u8>) {
        let request = self.next_request(kind);
        let side = v1::RelaySide::Present.into();
        let rendezvous = link.0.to_vec().into();
        let relay = v1::Relay { request, rendezvous, side, sequence, body: body.into() };
        self.staged.messages.push(ToServer::Relay(relay));
    }

    /// Something was left at the rendezvous, or heard there.
    pub(super) fn on_relayed(&mut self, relayed: &v1::Relayed) {
        let Some(kind) = self.requests.remove(&relayed.request) else { return };
        let Some(linking) = &mut self.linking else { return };
        let stage = std::mem::replace(&mut linking.stage, Stage::Done(LinkingState::Waiting));
        match (kind, stage) {
            (Request::Hear(link), Stage::Answer { approval, .. }) if link == linking.link => {
                match approval.hear_answer(&relayed.body) {
                    Ok(candidate) => {
                        linking.stage = Stage::User(Box::new(candidate));
                        self.say_linking();
                    }
                    Err(error) => self.linking_failed(&error.to_string()),
                }
            }
            (Request::Leave(link), Stage::Telling { number, .. }) if link == linking.link => {
                linking.stage = Stage::Done(LinkingState::Linked { device: number.0 });
                if linking.with_history {
                    self.begin_giving(number);
                }
                self.say_linking();
            }
            (Request::Leave(link), Stage::Refusing { .. }) if link == linking.link => {
                self.linking = None;
            }
            (_, stage) => linking.stage = stage,
        }
    }

    /// The server does not let us meet there, or not now. One that was given up before is nobody's concern.
    pub(super) fn on_relay_refused(&mut self, link: LinkId, refused: &v1::Refused, now: Now) {
        let refusal = refusal_of(refused);
        let wait_ms = u64::from(refused.retry_after_ms);
        if let Some(Linking { link: own, stage: Stage::Refusing { again_ms, .. }, .. }) =
            &mut self.linking
        {
            if *own != link {
                return;
            }
            if refusal.map_or(wait_ms > 0, Refusal::retryable) {
                *again_ms = Some(now.mono_ms + wait_ms.max(PAUSE_MS));
            } else {
                self.linking = None;
            }
            return;
        }
        let (text, advice) =
            refusal.map_or(("the server refused", "try again"), |no| (no.text(), no.advice()));
        let is_ours = |own: &Linking| own.link == link && !own.is_over();
        if self.linking.as_ref().is_some_and(is_ours) {
            self.linking_failed(&format!("{text}: {advice}"));
        }
    }

    /// Whether a new device is still to be told of a no.
    pub(super) fn owes_a_no(&self) -> bool {
        let linking = self.linking.as_ref();
        linking.is_some_and(|linking| matches!(linking.stage, Stage::Refusing { .. }))
    }

    fn linking_failed(&mut self, reason: &str) {
        if let Some(linking) = &mut self.linking {
            linking.stage = Stage::Done(LinkingState::Failed { reason: reason.to_owned() });
            self.say_linking();
        }
    }

    fn say_linking(&mut self) {
        if let Some((link, state)) = self.linking_state() {
            self.say(Event::Linking { link, state });
        }
    }
}
