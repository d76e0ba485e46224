//! `godwit verify`: the safety number, to be compared with what the other side sees.

use godwit_base::Handle;
use godwit_client::{Client, Error};
use serde::Serialize;

use super::{Time, of_somebody};
use crate::arguments::Verify;
use crate::failure::Failure;
use crate::output::Output;
use crate::qr;

#[derive(Serialize)]
struct Safety<'a> {
    with: &'a Handle,
    safety_number: &'a str,
    /// Content of the QR code, hexadecimal.
    qr: String,
    verified: bool,
}

pub(super) async fn verify(
    client: &Client,
    verify: &Verify,
    output: &mut Output,
) -> Result<(), Failure> {
    let with = &verify.with;
    if *with == client.me().handle {
        return Err(Error::ToYourself.into());
    }
    let number = of_somebody(client, with, Time::of(verify.limit), async || {
        client.safety_number(with).await
    })
    .await?;
    if verify.confirm || verify.forget {
        client.set_verified(with, verify.confirm).await?;
    }
    let people = client.contacts().await?;
    let verified = people.iter().any(|person| person.handle == *with && person.verified);
    let qr = number.qr.iter().map(|byte| format!("{byte:02x}")).collect();
    let safety = Safety { with, safety_number: &number.digits, qr, verified };
    output.record(&safety, |_| for_people(with, &number, verified))
}

fn for_people(with: &Handle, number: &godwit_client::SafetyNumber, verified: bool) -> String {
    let mut lines = vec![format!("Safety number with {with}"), String::new()];
    lines.extend(digit_lines(&number.digits).into_iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.extend(
        qr::lines(&number.qr).unwrap_or_default().into_iter().map(|line| format!("  {line}")),
    );
    lines.push(String::new());
    lines.push(if verified {
        format!("Verified: you have confirmed that {with} sees the same number.")
    } else {
        format!("If {with} sees the same number: godwit verify {with} --confirm")
    });
    lines.join("\n")
}

/// The digits as people read them aloud: groups of five, four groups a line.
pub(crate) fn digit_lines(digits: &str) -> Vec<String> {
    let groups: Vec<String> =
        digits.as_bytes().chunks(5).map(|g| String::from_utf8_lossy(g).into_owned()).collect();
    groups.chunks(4).map(|line| line.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_digits_are_three_lines_of_four_groups() {
        let lines = digit_lines(&"1234567890".repeat(6));
        assert_eq!(lines, ["12345 67890 12345 67890"; 3]);
    }
}
