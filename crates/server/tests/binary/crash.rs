//! Dies at each named point once; what showed a tick arrives exactly once all the same.

use godwit_server::crash::POINTS;
use godwit_wire::ToClient;
use tempfile::TempDir;

use super::link::Heard;
use super::person::Person;
use super::program::{Program, godwitd, text};

fn serve(data: &TempDir, crash_at: Option<&str>) -> Program {
    let at = data.path().to_str().unwrap();
    let mut command = godwitd(&["serve", "--data", at, "--listen", "127.0.0.1:0", "--json"]);
    if let Some(point) = crash_at {
        command.env("GODWIT_CRASH_AT", point);
    }
    Program::spawn(command)
}

#[tokio::test]
async fn a_crash_at_any_point_neither_loses_nor_doubles() {
    for point in POINTS {
        let data = TempDir::new().unwrap();
        let program = serve(&data, None);
        let mut people = Vec::new();
        for handle in ["alice", "bob"] {
            let mut person = Person::new(&program.join, handle);
            person.dials().await.unwrap();
            person.registers().await.unwrap();
            people.push(person);
        }
        let [alice, bob] = people.as_mut_slice() else { unreachable!() };
        program.signal("TERM");
        alice.hangs_up();
        bob.hangs_up();
        assert_eq!(program.ends(), Some(0));

        // Alice sends one by one, Bob acknowledges each, until the server dies under them.
        let program = serve(&data, Some(&format!("{point}:3")));
        (alice.join, bob.join) = (program.join.clone(), program.join.clone());
        let (mut ticked, mut shown) = (0, Vec::new());
        for person in [&mut *alice, &mut *bob] {
            person.dials().await.unwrap();
            person.attaches().await;
        }
        'alive: for n in 1..=10 {
            alice.sends(&format!("line {n}")).to(bob).await;
            loop {
                match alice.link().next().await {
                    Heard::Message(ToClient::Accepted(_)) => break ticked = n,
                    Heard::Message(ToClient::Receipt(_)) | Heard::Keepalive => {}
                    Heard::Closed => break 'alive,
                    other => panic!("{other:?}"),
                }
            }
            match bob.link().next().await {
                Heard::Message(ToClient::Deliver(deliver)) => {
                    shown.push(deliver.counter);
                    let ack = godwit_wire::v1::Ack { up_to: deliver.seq };
                    let frame = bob.link().frame(&[ack.into()]);
                    if !bob.link().pipe.try_send(&frame).await {
                        break 'alive;
                    }
                }
                Heard::Closed => break 'alive,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(program.ends(), None, "{point}: it died there");

        // Both come back. Alice sends again what showed no tick, as a client does.
        let program = serve(&data, None);
        (alice.join, bob.join) = (program.join.clone(), program.join.clone());
        let waiting = bob.comes_back().await;
        alice.comes_back().await;
        for n in ticked + 1..=10 {
            let again = bob.sealed(n, &format!("line {n}"));
            alice.link().says(&[again]).await;
            while !matches!(alice.link().hears().await, ToClient::Accepted(_)) {}
        }
        for message in waiting {
            let ToClient::Deliver(deliver) = message else { panic!("{message:?}") };
            // What Bob had and said so too late comes again, and he knows it: perhaps several, since
            // an acknowledgement that was sent may not have been heard.
            if !shown.contains(&deliver.counter) {
                shown.push(deliver.counter);
            }
        }
        while shown.last() != Some(&10) {
            let ToClient::Deliver(deliver) = bob.link().hears().await else { panic!() };
            shown.push(deliver.counter);
        }
        assert_eq!(shown, (1..=10).collect::<Vec<u64>>(), "{point}");
    }
}

#[test]
fn a_wish_that_cannot_be_followed_stops_the_server() {
    let data = TempDir::new().unwrap();
    let at = data.path().to_str().unwrap();
    for wish in ["store::synced", "store::sunk:1", "store::synced:0", "store::synced:x"] {
        let mut command = godwitd(&["serve", "--data", at, "--listen", "127.0.0.1:0"]);
        let refused = command.env("GODWIT_CRASH_AT", wish).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{wish}");
        assert!(text(&refused.stderr).contains("write name:n"), "{wish}");
    }
}
