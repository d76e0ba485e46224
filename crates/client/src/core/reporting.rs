//! Reports to the operator of the server. What is reported leaves the encryption: the user chose it.

use godwit_base::{AccountId, Handle};
use godwit_wire::{
    REASON_BYTES_MAX, REPORTED_MESSAGES_MAX, REPORTED_TEXT_BYTES_MAX, Refusal, ToServer, v1,
};

use super::asking::Request;
use super::{Core, refusal_of};
use crate::{Error, Event, Reported};

/// Reports that wait for the server. A person makes one at a time; they are kept in memory only, and
/// whoever made one hears whether it was taken.
const WAITING_MAX: usize = 4;

/// Reports on their way.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    with: Handle,
    /// Its `request` is the number under which it was sent on the present link; 0: not yet.
    report: v1::Report,
}

impl Reports {
    /// The link is gone, and with it every answer. A report that was taken is taken twice then.
    pub(crate) fn link_lost(&mut self) {
        self.waiting.iter_mut().for_each(|waiting| waiting.report.request = 0);
    }
}

impl Core {
    /// Reports a contact to the operator of the server, with messages of theirs in clear. What became
    /// of it is told by [`Event::Reported`]; a report that waits when the process ends is gone.
    ///
    /// # Errors
    /// [`Error::NoContact`] when nobody of that handle is known, [`Error::BadReport`] beyond its bounds.
    pub fn report(
        &mut self,
        with: &Handle,
        reason: &str,
        messages: &[Reported],
    ) -> Result<(), Error> {
        let account = self.contacts.account_of(with);
        let account = account.ok_or_else(|| Error::NoContact(with.clone()))?;
        if messages.len() > REPORTED_MESSAGES_MAX {
            let fault = format!("a report holds at most {REPORTED_MESSAGES_MAX} messages");
            return Err(Error::BadReport(fault));
        }
        if reason.len() > REASON_BYTES_MAX {
            let fault = format!("the reason has more than {REASON_BYTES_MAX} bytes: shorten it");
            return Err(Error::BadReport(fault));
        }
        if self.reports.waiting.len() >= WAITING_MAX {
            return Err(Error::BadReport("other reports wait for the server".to_owned()));
        }
        let messages: Option<Vec<_>> =
            messages.iter().map(|message| reported(account, message)).collect();
        let messages = messages
            .ok_or_else(|| Error::BadReport(format!("only messages of {with} can be reported")))?;
        let (request, reason) = (0, reason.to_owned());
        let report = v1::Report { request, account: account.0, reason, messages };
        self.reports.waiting.push(Waiting { with: with.clone(), report });
        Ok(())
    }

    /// Sends what waits.
    pub(super) fn send_reports(&mut self) {
        for index in 0..self.reports.waiting.len() {
            let is_unsent = self.reports.waiting.get(index).is_some_and(|w| w.report.request == 0);
            if !is_unsent {
                continue;
            }
            let request = self.next_request(Request::Report);
            if let Some(waiting) = self.reports.waiting.get_mut(index) {
                waiting.report.request = request;
                self.staged.messages.push(ToServer::Report(waiting.report.clone()));
            }
        }
    }

    /// The operator has it.
    pub(super) fn on_report_taken(&mut self, taken: &v1::ReportTaken) {
        self.requests.remove(&taken.request);
        self.report_ended(taken.request, None);
    }

    /// The server does not take it. It is not sent again by itself: the user decides.
    pub(super) fn on_report_refused(&mut self, refused: &v1::Refused) {
        let refusal = refusal_of(refused);
        let text = refusal.map_or("the server refused the report", Refusal::text);
        let minutes = refused.retry_after_ms.div_ceil(60_000);
        let when = match minutes {
            0 => String::new(),
            1 => ": try again in a minute".to_owned(),
            minutes => format!(": try again in {minutes} minutes"),
        };
        self.report_ended(refused.request, Some(&format!("{text}{when}")));
    }

    fn report_ended(&mut self, request: u32, refused: Option<&str>) {
        let of_it = |waiting: &mut Waiting| waiting.report.request == request && request != 0;
        let ended: Vec<Waiting> = self.reports.waiting.extract_if(.., of_it).collect();
        for Waiting { with, .. } in ended {
            self.say(Event::Reported { with, refused: refused.map(str::to_owned) });
        }
    }
}

/// A message as the operator gets it, its text cut; none if it is not of that account.
fn reported(account: AccountId, message: &Reported) -> Option<v1::ReportedMessage> {
    let device = message.id.device;
    (device.account == account).then(|| v1::ReportedMessage {
        device: device.number.0,
        counter: message.id.counter,
        sent_at_ms: message.sent_at_ms,
        text: cut(&message.text, REPORTED_TEXT_BYTES_MAX).to_owned(),
    })
}

/// The beginning of a text, not longer than so many bytes and of whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc");
        assert_eq!(cut("abé", 3), "ab");
    }
}
