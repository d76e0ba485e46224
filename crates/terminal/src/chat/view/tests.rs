//! Pictures of the messenger, compared cell by cell. A picture that changed is printed whole.

use godwit_client::{
    DeviceInfo, Event, Failure, HistoryProgress, LinkingState, MessageState, SafetyNumber,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::chat::field::Field;
use crate::chat::model::{Devices, Outcome, Overlay, Place, Search, Step, Wakeup};
use crate::chat::sample::{NOW, alice, chat, handle, message};
use crate::time::LocalTime;

fn model(size: (u16, u16)) -> Model {
    let (mut model, _) = Model::new(alice(), LocalTime::utc(), NOW, size);
    model.connection = ConnectionState::Online;
    let mut bob = chat("bob", "see you there", 0);
    bob.verified = true;
    let chats = vec![bob, chat("carol", "did you read the paper?", 3)];
    model.update(Wakeup::Done(Outcome::Chats(Ok(chats))), NOW);
    model
}

fn talking(size: (u16, u16)) -> Model {
    let mut model = model(size);
    model.open(&handle("bob"), Place::Newest);
    let failed = MessageState::Failed(Failure::MailboxFull);
    let page = vec![
        message(1, "bob", "hi alice").at(NOW - 86_400_000).item(),
        message(2, "bob", "lunch?").item(),
        message(3, "alice", "yes!").state(MessageState::Read).item(),
        message(4, "alice", "at noon").state(MessageState::Delivered).item(),
        message(5, "alice", "the usual place").state(MessageState::Accepted).item(),
        message(6, "alice", "or not").state(failed).item(),
        message(7, "alice", "see you there").state(MessageState::Pending).item(),
    ];
    let page = Outcome::Page { with: handle("bob"), place: Place::Newest, page: Ok(page) };
    model.update(Wakeup::Done(page), NOW);
    model
}

fn picture(model: &Model, has_colour: bool) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    let theme = Theme::with_colour(has_colour);
    terminal.draw(|frame| draw(frame, model, &theme)).unwrap();
    terminal.backend().clone()
}

fn text(model: &Model) -> String {
    let backend = picture(model, true);
    let buffer = backend.buffer();
    // A wide character fills two cells; the second is not printed.
    let row = |y| {
        let mut row = String::new();
        while width(&row) < usize::from(buffer.area.width) {
            row.push_str(buffer[(u16::try_from(width(&row)).unwrap(), y)].symbol());
        }
        row
    };
    (0..buffer.area.height).map(|y| row(y).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Compares with the picture in `pictures/`; `GODWIT_PICTURES=write` makes the files anew, to be
/// looked at before they are committed.
#[track_caller]
fn shows(model: &Model, name: &str) {
    let file = format!("{}/src/chat/view/pictures/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let shown = text(model) + "\n";
    if std::env::var("GODWIT_PICTURES").is_ok_and(|what| what == "write") {
        std::fs::write(&file, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap();
    assert!(shown == expected, "shown:\n{shown}\nexpected ({file}):\n{expected}");
}

#[test]
fn names_stand_behind_handles_and_a_block_is_seen() {
    let mut model = talking((100, 20));
    let mut bob = chat("bob", "see you there", 0);
    bob.name = Some("Bob\nthe Builder".to_owned());
    let mut carol = chat("carol", "buy this", 0);
    carol.blocked = true;
    model.update(Wakeup::Done(Outcome::Chats(Ok(vec![bob, carol]))), NOW);
    let shown = text(&model);
    assert_eq!(shown.matches("bob (Bob").count(), 2, "in the list and above the chat: {shown}");
    assert!(shown.contains("blocked") && !shown.contains("buy this"), "{shown}");
    model.open(&handle("carol"), Place::Newest);
    assert_eq!(text(&model).matches("blocked").count(), 2);
}

#[test]
fn the_list_alone() {
    shows(&model((72, 9)), "list");
}

#[test]
fn a_conversation_beside_the_list() {
    shows(&talking((80, 22)), "talk");
}

#[test]
fn a_conversation_alone_on_a_narrow_screen() {
    shows(&talking((34, 14)), "narrow");
}

#[test]
fn what_is_typed_grows_upwards() {
    let mut model = talking((72, 14));
    for text in ["first line\n", "second line\n", "你好"] {
        model.composer.insert(text);
    }
    shows(&model, "typing");
    let mut backend = picture(&model, true);
    use ratatui::backend::Backend;
    let cursor = backend.get_cursor_position().unwrap();
    let composer = model.geometry().composer;
    assert_eq!((cursor.x, cursor.y), (composer.x + PROMPT_COLUMNS + 4, composer.y + 2));
}

#[test]
fn help() {
    let mut model = talking((92, 31));
    model.overlay = Some(Overlay::Help { top: 0 });
    shows(&model, "help");
}

/// As on the commonest screen, and on a narrow one: nothing is cut, and what is below is hinted at.
#[test]
fn help_on_small_screens() {
    for (size, name) in [((80, 24), "help_80"), ((40, 15), "help_40")] {
        let mut model = talking(size);
        model.overlay = Some(Overlay::Help { top: 0 });
        shows(&model, name);
    }
    let mut model = talking((40, 15));
    model.overlay = Some(Overlay::Help { top: 0 });
    let key =
        |code| Wakeup::Input(crossterm::event::Event::Key(crossterm::event::KeyEvent::from(code)));
    for _ in 0..99 {
        model.update(key(crossterm::event::KeyCode::PageDown), NOW);
    }
    assert!(text(&model).contains("that it is them."), "{}", text(&model));
    model.update(key(crossterm::event::KeyCode::Up), NOW);
    assert!(!text(&model).contains("that it is them."), "one line up at once");
}

#[test]
fn search_results() {
    let mut model = talking((80, 15));
    let mut search = Search { answered: "noon".into(), ..Search::default() };
    search.field.insert("noon");
    search.hits =
        vec![message(4, "alice", "at noon").item(), message(2, "carol", "noon\nthen").item()];
    model.overlay = Some(Overlay::Search(search));
    shows(&model, "search");
}

#[test]
fn a_new_chat_with_a_problem() {
    let mut model = model((72, 12));
    let problem = Some("a handle is 2 to 32 characters".to_owned());
    let mut field = Field::default();
    field.insert("Bob");
    model.overlay = Some(Overlay::NewChat { field, problem });
    shows(&model, "new_chat");
}

#[test]
fn the_safety_number_beside_its_code() {
    let mut model = talking((90, 24));
    let number = SafetyNumber { digits: "1234567890".repeat(6), qr: vec![7; 16] };
    model.overlay = Some(Overlay::Safety { with: handle("bob"), number: Some(number) });
    shows(&model, "safety");
    model.size = (40, 20);
    assert!(text(&model).contains("enlarge the window to see the"), "{}", text(&model));
}

/// Two devices, this one the main one.
fn devices(step: Step) -> Overlay {
    let info = |device, this| DeviceInfo { device, this, main: this };
    let list = Some(vec![info(1, true), info(2, false)]);
    Overlay::Devices(Devices { list, selected: 1, step, link: None })
}

#[test]
fn the_devices_of_the_account() {
    let mut model = model((92, 16));
    model.overlay = Some(devices(Step::Look));
    shows(&model, "devices");
    model.overlay = Some(devices(Step::Revoke(2)));
    assert!(text(&model).contains("r again revokes device 2"), "{}", text(&model));
    let mut field = Field::default();
    field.insert("godwit-link:AAAA");
    let problem = Some("the code has a mistake\nsomewhere".to_owned());
    model.overlay = Some(devices(Step::Code { field, problem }));
    let shown = text(&model);
    assert!(shown.contains("› godwit-link:AAAA") && shown.contains("mistake somewhere"), "{shown}");
}

#[test]
fn digits_that_are_to_be_compared() {
    let mut model = model((92, 16));
    let compare = LinkingState::Compare { digits: "123 456".to_owned(), device: 3 };
    model.overlay = Some(devices(Step::Link(compare)));
    shows(&model, "digits");
    for (state, says) in [
        (LinkingState::Waiting, "waiting for the new device"),
        (LinkingState::Publishing, "telling the server"),
        (LinkingState::Linked { device: 3 }, "✓ linked: it is device 3"),
        (LinkingState::Failed { reason: "too\nlate".to_owned() }, "✗ too late"),
    ] {
        model.overlay = Some(devices(Step::Link(state)));
        assert!(text(&model).contains(says), "{}", text(&model));
    }
}

#[test]
fn a_notice_stands_above_the_conversation() {
    let mut model = talking((80, 18));
    let mut bob = chat("bob", "x", 0);
    bob.notice = Some("the safety number changed".to_owned());
    model.update(Wakeup::Done(Outcome::Chats(Ok(vec![bob]))), NOW);
    assert!(
        text(&model).contains("│ ! the safety number changed (Ctrl+S shows"),
        "{}",
        text(&model)
    );
}

#[test]
fn trouble_and_a_lost_connection_stand_at_the_lower_edge() {
    let mut model = talking((80, 12));
    let reason = "cannot reach the server".to_owned();
    let offline = ConnectionState::Offline { retry_in_ms: Some(4_200), reason };
    model.update(Wakeup::Client(Event::Connection(offline)), NOW);
    let last = text(&model).lines().last().unwrap().to_owned();
    assert_eq!(
        last.trim(),
        format!("{:<40}○ offline, next try in 5 s, Ctrl+R now", "cannot reach the server")
    );
    model.status = Some(Status::Trouble("disk\nfull".into()));
    assert!(text(&model).lines().last().unwrap().starts_with(" ✗ disk full  "));
}

#[test]
fn how_far_the_history_is_stands_at_the_lower_edge() {
    let mut model = talking((80, 12));
    let progress = HistoryProgress { device: 1, given: 1_200, of: 5_000, done: false };
    model.update(Wakeup::Client(Event::History(progress)), NOW);
    let last = |model: &Model| text(model).lines().last().unwrap().to_owned();
    assert!(last(&model).starts_with(" history: 1,200 of 5,000  "), "{}", text(&model));
    let done = HistoryProgress { given: 5_000, done: true, ..progress };
    model.update(Wakeup::Client(Event::History(done)), NOW);
    assert!(last(&model).starts_with(" ✓ history: all 5,000 messages  "), "{}", text(&model));
    model.status = None;
    assert!(last(&model).starts_with(" Enter send"), "{}", text(&model));
}

#[test]
fn read_ticks_are_blue_and_without_colour_they_are_another_sign() {
    let model = talking((80, 22));
    let coloured = picture(&model, true);
    let ticks: Vec<_> =
        coloured.buffer().content().iter().filter(|cell| cell.symbol() == "✓").collect();
    assert!(ticks.iter().any(|cell| cell.fg == Color::LightBlue));
    let plain = picture(&model, false);
    let cells = plain.buffer().content();
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert_eq!(cells.iter().filter(|cell| cell.symbol() == "✔").count(), 2);
    assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::DIM)));
}

#[test]
fn every_size_can_be_drawn_with_everything_on_top() {
    for columns in [1, 5, 19, 20, 21, 30, 67, 68, 69, 90, 200] {
        for rows in [1, 5, 6, 7, 10, 24, 60] {
            let mut model = talking((columns, rows));
            model.composer.insert(&"long text ".repeat(30));
            picture(&model, true);
            let number = SafetyNumber { digits: "1".repeat(60), qr: vec![7; 70] };
            let overlays = [
                Overlay::Help { top: 3 },
                Overlay::NewChat { field: Field::default(), problem: None },
                Overlay::Search(Search::default()),
                Overlay::Safety { with: handle("bob"), number: Some(number) },
                devices(Step::Look),
                devices(Step::Code { field: Field::default(), problem: None }),
                devices(Step::Link(LinkingState::Waiting)),
            ];
            for overlay in overlays {
                model.overlay = Some(overlay);
                picture(&model, true);
            }
        }
    }
}
