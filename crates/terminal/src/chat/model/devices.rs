//! Keys on the account's devices: linking another one, taking one off.

use crossterm::event::{KeyCode, KeyEvent};
use godwit_client::{DeviceInfo, Error, LinkId, LinkingState};

use super::keys::field_key;
use super::{Effect, Model, Overlay, Status};
use crate::chat::field::Field;

/// The devices of the account as they lie on top.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    /// None until they are loaded.
    pub(crate) list: Option<Vec<DeviceInfo>>,
    pub(crate) selected: usize,
    pub(crate) step: Step,
    /// The linking that was begun here last.
    pub(crate) link: Option<LinkId>,
}

/// What is being done with them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    #[default]
    Look,
    /// r was pressed once on this device.
    Revoke(u32),
    /// The code that a new device shows is being typed.
    Code { field: Field, problem: Option<String> },
    /// A new device is being linked.
    Link(LinkingState),
}

impl Devices {
    /// Whether this device links others; not known before they are loaded.
    pub(crate) fn is_main(&self) -> Option<bool> {
        let this = self.list.as_ref()?.iter().find(|one| one.this)?;
        Some(this.main)
    }

    fn chosen(&self) -> Option<DeviceInfo> {
        self.list.as_ref()?.get(self.selected).copied()
    }

    /// Whether Esc would leave digits that nobody has compared.
    fn is_linking(&self) -> bool {
        matches!(self.step, Step::Link(LinkingState::Waiting | LinkingState::Compare { .. }))
    }
}

impl Model {
    pub(super) fn show_devices(&mut self) {
        self.overlay = Some(Overlay::Devices(Devices::default()));
        self.effects.push(Effect::LoadDevices);
    }

    /// Leaves one step, or the window. False: the window is to be closed.
    pub(super) fn leaves_step(&mut self) -> bool {
        let Some(Overlay::Devices(devices)) = &mut self.overlay else { return false };
        if let Some(link) = devices.link.filter(|_| devices.is_linking()) {
            self.effects.push(Effect::CancelLink { link });
        }
        std::mem::take(&mut devices.step) != Step::Look
    }

    pub(super) fn devices_key(&mut self, key: KeyEvent) {
        let Some(Overlay::Devices(devices)) = &mut self.overlay else { return };
        match &mut devices.step {
            Step::Look => self.listed_key(key, None),
            Step::Revoke(device) => {
                let asked = *device;
                devices.step = Step::Look;
                self.listed_key(key, Some(asked));
            }
            Step::Code { .. } if key.code == KeyCode::Enter => self.approve(),
            Step::Code { field, problem } => {
                if field_key(field, key) {
                    *problem = None;
                }
            }
            Step::Link(LinkingState::Compare { .. }) => match key.code {
                KeyCode::Char('y') => self.confirm(true),
                KeyCode::Char('o') => self.confirm(false),
                KeyCode::Char('n') => {
                    self.leaves_step();
                    self.trouble(&"not linked: the digits differ");
                }
                _ => {}
            },
            Step::Link(LinkingState::Linked { .. } | LinkingState::Failed { .. }) => {
                devices.step = Step::Look;
            }
            Step::Link(_) => {}
        }
    }

    /// A key on the list; `asked`: r was pressed on that device just before.
    fn listed_key(&mut self, key: KeyEvent, asked: Option<u32>) {
        let Some(Overlay::Devices(devices)) = &mut self.overlay else { return };
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => {
                devices.selected = devices.selected.saturating_sub(1);
            }
            KeyCode::Down | KeyCode::Char('j') => {
                let last = devices.list.as_ref().map_or(0, Vec::len).saturating_sub(1);
                devices.selected = (devices.selected + 1).min(last);
            }
            KeyCode::Char('l') | KeyCode::Enter => self.begin_code(""),
            KeyCode::Char('r') => self.revoke(asked),
            _ => {}
        }
    }

    fn begin_code(&mut self, code: &str) {
        let Some(Overlay::Devices(devices)) = &mut self.overlay else { return };
        match devices.is_main() {
            Some(true) => {
                let field = Field::holding(code.to_owned());
                devices.step = Step::Code { field, problem: None };
            }
            Some(false) => self.trouble(&Error::NotMain),
            None => {}
        }
    }

    /// A code may be pasted with the line ends at which a terminal has broken it. False if it is too
    /// long for any field.
    pub(super) fn paste_code(&mut self, text: &str) -> bool {
        let code: String = text.split_whitespace().collect();
        let Some(Overlay::Devices(devices)) = &mut self.overlay else { return true };
        match &mut devices.step {
            Step::Code { field, problem } => {
                *problem = None;
                field.insert(&code)
            }
            Step::Look | Step::Revoke(_) => {
                self.begin_code(&code);
                true
            }
            Step::Link(_) => true,
        }
    }

    fn approve(&mut self) {
        let Some(Overlay::Devices(devices)) = &mut self.overlay else { return };
        let Step::Code { field, .. } = &mut devices.step else { return };
        if !field.is_blank() {
            let code = field.take().trim().to_owned();
            devices.step = Step::Link(LinkingState::Waiting);
            // A wrong code has none, and is refused.
            devices.link = LinkId::of_code(&code).ok();
            self.effects.push(Effect::ApproveLink { code });
        }
    }

    fn confirm(&mut self, with_history: bool) {
        if let Some(Overlay::Devices(devices)) = &mut self.overlay
            && let Some(link) = devices.link
        {
            devices.step = Step::Link(LinkingState::Publishing);
            self.effects.push(Effect::ConfirmLink { link, with_history });
        }
    }

    /// Asks first; a second one waits for what the server says of the first.
    fn revoke(&mut self, asked: Option<u32>) {
        let Some(Overlay::Devices(devices)) = &mut self.overlay else { return };
        let Some(chosen) = devices.chosen() else { return };
        let number = chosen.device;
        if devices.is_main() != Some(true) {
            self.trouble(&Error::NotMain);
        } else if chosen.this {
            self.trouble(&Error::OwnDevice { main: true });
        } else if self.is_revoking {
            self.trouble(&Error::ListBusy);
        } else if asked == Some(number) {
            self.is_revoking = true;
            self.status = Some(Status::Done(format!("revoking device {number}")));
            self.effects.push(Effect::Revoke { device: number });
        } else {
            devices.step = Step::Revoke(number);
        }
    }

    /// They were read, and how far linking is.
    pub(super) fn devices_are(
        &mut self,
        list: Vec<DeviceInfo>,
        linking: Option<(LinkId, LinkingState)>,
    ) {
        let Some(Overlay::Devices(devices)) = &mut self.overlay else { return };
        devices.selected = devices.selected.min(list.len().saturating_sub(1));
        devices.list = Some(list);
        if let Some((link, state)) = linking {
            self.linking_is(link, state);
        }
    }

    /// Linking came further. What another program has begun on this home is that one's to show.
    pub(super) fn linking_is(&mut self, link: LinkId, state: LinkingState) {
        if let Some(Overlay::Devices(devices)) = &mut self.overlay
            && devices.link == Some(link)
            && let Step::Link(shown) = &mut devices.step
        {
            *shown = state;
        }
    }

    /// The code was taken, or is wrong: then it can be mended.
    pub(super) fn approved(&mut self, code: String, done: Result<(), Error>) {
        if let (Some(Overlay::Devices(devices)), Err(error)) = (&mut self.overlay, done)
            && matches!(devices.step, Step::Link(_))
        {
            let problem = Some(error.to_string());
            devices.step = Step::Code { field: Field::holding(code), problem };
        }
    }

    pub(super) fn confirmed(&mut self, done: Result<(), Error>) {
        if let (Some(Overlay::Devices(Devices { link: Some(link), .. })), Err(error)) =
            (&self.overlay, done)
        {
            let link = *link;
            self.linking_is(link, LinkingState::Failed { reason: error.to_string() });
        }
    }

    pub(super) fn revoked(&mut self, device: u32, done: Result<(), Error>) {
        self.is_revoking = false;
        match done {
            Ok(()) => self.status = Some(Status::Done(format!("device {device} is revoked"))),
            Err(error) => self.trouble(&error),
        }
        self.reload_devices();
    }

    /// The account has other devices than before, or may have.
    pub(super) fn reload_devices(&mut self) {
        if matches!(self.overlay, Some(Overlay::Devices(_))) {
            self.effects.push(Effect::LoadDevices);
        }
    }
}
