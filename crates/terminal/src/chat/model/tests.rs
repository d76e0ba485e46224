//! The messenger without a terminal: keys in, effects and state out.

mod chosen;
mod devices;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use godwit_client::{Failure, WarningKind};

use super::*;
use crate::chat::sample::{NOW, alice, chat, handle, message};

/// A messenger with bob (two unread) and carol, bob's chat open and loaded.
fn with_bob() -> Model {
    let mut model = listed();
    keys(&mut model, &[KeyCode::Enter]);
    page(&mut model, 1..=9);
    model
}

/// The same with no chat open.
fn listed() -> Model {
    let (mut model, first) = Model::new(alice(), LocalTime::utc(), NOW, (100, 30));
    assert_eq!(first, [Effect::LoadChats]);
    let chats = vec![chat("bob", "m9", 2), chat("carol", "bye", 0)];
    done(&mut model, Outcome::Chats(Ok(chats)));
    model
}

fn page(model: &mut Model, rows: std::ops::RangeInclusive<u64>) -> Vec<Effect> {
    let page = rows.map(|row| message(row, "bob", &format!("m{row}")).item()).collect();
    done(model, Outcome::Page { with: handle("bob"), place: Place::Newest, page: Ok(page) })
}

fn done(model: &mut Model, outcome: Outcome) -> Vec<Effect> {
    model.update(Wakeup::Done(outcome), NOW)
}

/// Without what tells others that the chat is shown and typed in.
fn quiet(mut effects: Vec<Effect>) -> Vec<Effect> {
    effects.retain(|effect| {
        !matches!(effect, Effect::Watch { .. } | Effect::Unwatch { .. } | Effect::Types { .. })
    });
    effects
}

fn tell(model: &mut Model, event: Event) -> Vec<Effect> {
    model.update(Wakeup::Client(event), NOW)
}

fn press(model: &mut Model, code: KeyCode, modifiers: KeyModifiers) -> Vec<Effect> {
    quiet(model.update(Wakeup::Input(Input::Key(KeyEvent::new(code, modifiers))), NOW))
}

fn ctrl(model: &mut Model, c: char) -> Vec<Effect> {
    press(model, KeyCode::Char(c), KeyModifiers::CONTROL)
}

fn keys(model: &mut Model, codes: &[KeyCode]) -> Vec<Effect> {
    codes.iter().flat_map(|code| press(model, *code, KeyModifiers::NONE)).collect()
}

fn types(model: &mut Model, text: &str) -> Vec<Effect> {
    keys(model, &text.chars().map(KeyCode::Char).collect::<Vec<_>>())
}

fn send(text: &str) -> Effect {
    Effect::Send { to: handle("bob"), text: text.to_owned() }
}

#[test]
fn opening_a_chat_loads_it_and_marks_it_as_read() {
    let mut model = listed();
    let load = Effect::LoadPage { with: handle("bob"), place: Place::Newest };
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [load]);
    let effects = page(&mut model, 1..=9);
    assert!(effects.contains(&Effect::MarkRead { with: handle("bob") }), "{effects:?}");
    assert_eq!(model.chats.unread(), 0);
    assert_eq!(model.focus, Focus::Composer);
    assert_eq!(model.conversation.unwrap().first_new, Some(8));
}

#[test]
fn the_open_chat_is_watched_and_typing_in_it_is_told() {
    let mut model = listed();
    let key = |code| Wakeup::Input(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    let (bob, watch) = (handle("bob"), Effect::Watch { with: handle("bob") });
    let told = |on| Effect::Types { with: handle("bob"), on };
    assert!(model.update(key(KeyCode::Enter), NOW).contains(&watch));
    assert_eq!(model.update(Wakeup::Tick, NOW + 24_999), []);
    assert_eq!(model.update(Wakeup::Tick, NOW + 25_000), [watch]);
    assert_eq!(model.update(key(KeyCode::Char('h')), NOW + 30_000), [told(true)]);
    assert_eq!(model.update(key(KeyCode::Char('i')), NOW + 31_999), []);
    assert_eq!(model.update(key(KeyCode::Char('!')), NOW + 32_000), [told(true)]);
    let effects = model.update(key(KeyCode::Enter), NOW + 32_001);
    assert!(effects.contains(&send("hi!")) && effects.contains(&told(false)), "{effects:?}");
    model.open(&handle("carol"), Place::Newest);
    let effects = model.update(Wakeup::Tick, NOW + 33_000);
    assert!(effects.contains(&Effect::Unwatch { with: bob }), "{effects:?}");
    assert!(effects.contains(&Effect::Watch { with: handle("carol") }), "{effects:?}");
}

#[test]
fn a_text_is_sent_with_enter_and_line_ends_with_alt_enter() {
    let mut model = with_bob();
    types(&mut model, "one");
    press(&mut model, KeyCode::Enter, KeyModifiers::ALT);
    types(&mut model, "two");
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [send("one\ntwo")]);
    assert!(model.composer.is_blank());
    types(&mut model, "  ");
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), []);
}

#[test]
fn a_paste_keeps_its_lines_and_sends_nothing() {
    let mut model = with_bob();
    assert_eq!(model.update(Wakeup::Input(Input::Paste("a\r\nb".into())), NOW), []);
    assert_eq!(model.composer.text(), "a\nb");
}

#[test]
fn a_text_that_could_not_be_sent_comes_back_before_what_was_typed_since() {
    let mut model = with_bob();
    types(&mut model, "later");
    let sent = Err(Error::OutboxFull { max: 5 });
    done(&mut model, Outcome::Sent { to: handle("bob"), text: "first".into(), sent });
    assert_eq!(model.composer.text(), "first\nlater");
    let Some(Status::Trouble(text)) = &model.status else { panic!("no trouble") };
    assert!(text.starts_with("not sent: the outbox holds 5 messages"), "{text}");
    keys(&mut model, &[KeyCode::Left]);
    assert_eq!(model.status, None);
}

#[test]
fn what_is_typed_stays_with_its_chat() {
    let mut model = with_bob();
    types(&mut model, "for bob");
    press(&mut model, KeyCode::Down, KeyModifiers::ALT);
    assert_eq!(model.conversation.as_ref().unwrap().with, handle("carol"));
    assert!(model.composer.is_blank());
    press(&mut model, KeyCode::Up, KeyModifiers::ALT);
    assert_eq!(model.composer.text(), "for bob");
}

#[test]
fn a_message_in_the_open_chat_is_read_when_somebody_looks() {
    let mut model = with_bob();
    let read = [Effect::MarkRead { with: handle("bob") }];
    let read_and_count = [read[0].clone(), Effect::LoadChats];
    let arrive =
        |model: &mut Model, row| tell(model, Event::Message(message(row, "bob", "x").item()));
    assert_eq!(arrive(&mut model, 10), read_and_count);
    model.update(Wakeup::Input(Input::FocusLost), NOW);
    assert_eq!(arrive(&mut model, 11), [Effect::LoadChats]);
    assert_eq!(model.update(Wakeup::Input(Input::FocusGained), NOW), read);
    assert_eq!(model.update(Wakeup::Input(Input::FocusGained), NOW), []);
    keys(&mut model, &[KeyCode::F(1)]);
    assert_eq!(arrive(&mut model, 12), [Effect::LoadChats]);
    assert_eq!(keys(&mut model, &[KeyCode::Esc]), read);
}

#[test]
fn a_message_below_the_screen_is_not_read_until_one_gets_there() {
    let mut model = with_bob();
    model.size = (100, 10);
    keys(&mut model, &[KeyCode::PageUp]);
    let message = message(10, "bob", "x").item();
    assert_eq!(tell(&mut model, Event::Message(message)), [Effect::LoadChats]);
    let effects = press(&mut model, KeyCode::End, KeyModifiers::CONTROL);
    assert_eq!(effects, [Effect::MarkRead { with: handle("bob") }]);
}

#[test]
fn a_message_for_another_chat_moves_it_up_and_is_counted_by_the_client() {
    let mut model = with_bob();
    let message = message(10, "carol", "psst").item();
    assert_eq!(tell(&mut model, Event::Message(message)), [Effect::LoadChats]);
    assert_eq!(model.chats.entries()[0].with, handle("carol"));
    assert_eq!(model.chats.selected_handle(), Some(&handle("bob")));
    // The count comes with the list; what is open and seen is marked as read.
    let chats = vec![chat("carol", "psst", 1), chat("bob", "m9", 1)];
    let effects = done(&mut model, Outcome::Chats(Ok(chats)));
    assert_eq!(effects, [Effect::MarkRead { with: handle("bob") }]);
    assert_eq!(model.chats.unread(), 1);
}

#[test]
fn ticks_change_live() {
    let mut model = with_bob();
    let item = message(10, "alice", "hi").state(MessageState::Pending).item();
    let id = item.id;
    tell(&mut model, Event::Message(item));
    for state in [MessageState::Accepted, MessageState::Delivered, MessageState::Read] {
        let (with, by) = (handle("bob"), "bob".parse().unwrap());
        tell(&mut model, Event::State { id, with, by, state, at_ms: NOW });
        let (set, rows) = model.setting();
        let shown = model.conversation.as_ref().unwrap().visible(&set, rows);
        let crate::chat::bubble::Line::Part(part) = &shown.last().unwrap().line else { panic!() };
        assert_eq!(part.end.as_ref().unwrap().state, Some(state));
    }
}

#[test]
fn a_failed_message_is_said_even_from_another_chat() {
    let mut model = listed();
    let id = message(1, "alice", "").item().id;
    let (with, by) = (handle("carol"), "alice".parse().unwrap());
    let state = MessageState::Failed(Failure::UnknownAccount);
    tell(&mut model, Event::State { id, with, by, state, at_ms: NOW });
    let Some(Status::Trouble(text)) = &model.status else { panic!("no trouble") };
    assert!(text.contains("carol") && text.contains("nobody has this handle"), "{text}");
}

#[test]
fn a_new_chat_takes_a_handle_and_says_what_is_wrong_with_another() {
    let mut model = listed();
    types(&mut model, "n");
    types(&mut model, "Zoe");
    keys(&mut model, &[KeyCode::Enter]);
    let Some(Overlay::NewChat { problem: Some(problem), .. }) = &model.overlay else { panic!() };
    assert!(problem.starts_with("a handle is"), "{problem}");
    ctrl(&mut model, 'u');
    types(&mut model, "alice");
    keys(&mut model, &[KeyCode::Enter]);
    assert!(
        matches!(&model.overlay, Some(Overlay::NewChat { problem: Some(p), .. }) if p == "that is you")
    );
    ctrl(&mut model, 'u');
    types(&mut model, "@zoe");
    let load = Effect::LoadPage { with: handle("zoe"), place: Place::Newest };
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [load]);
    assert!(model.overlay.is_none());
    assert_eq!(model.chats.selected_handle(), Some(&handle("zoe")));
}

#[test]
fn search_asks_as_one_types_and_opens_the_hit_in_its_place() {
    let mut model = with_bob();
    ctrl(&mut model, 'f');
    let effects = types(&mut model, "hi");
    assert_eq!(effects.last(), Some(&Effect::Search { text: "hi".into() }));
    let hits = vec![message(5, "bob", "hi 5").item(), message(3, "bob", "hi 3").item()];
    // The answer to an older question changes nothing.
    done(&mut model, Outcome::Found { text: "h".into(), hits: Ok(vec![]) });
    done(&mut model, Outcome::Found { text: "hi".into(), hits: Ok(hits) });
    let effects = keys(&mut model, &[KeyCode::Down, KeyCode::Down, KeyCode::Enter]);
    let place = Place::Around(3);
    assert_eq!(effects, [Effect::LoadPage { with: handle("bob"), place }]);
}

#[test]
fn the_safety_number_is_shown_and_marked_as_compared() {
    let mut model = with_bob();
    let with = handle("bob");
    assert_eq!(ctrl(&mut model, 's'), [Effect::LoadSafety { with: with.clone() }]);
    assert_eq!(types(&mut model, "v"), []); // nothing to compare yet
    let number = SafetyNumber { digits: "1".repeat(60), qr: vec![1] };
    done(&mut model, Outcome::Safety { with: with.clone(), number: Ok(number) });
    let set = Effect::SetVerified { with: with.clone(), verified: true };
    assert_eq!(types(&mut model, "v"), [set]);
    done(&mut model, Outcome::Verified { with: with.clone(), verified: true, done: Ok(()) });
    assert!(model.open_chat().unwrap().verified);
    assert_eq!(types(&mut model, "v"), [Effect::SetVerified { with, verified: false }]);
}

#[test]
fn a_key_change_is_said_and_its_notice_loaded() {
    let mut model = with_bob();
    let (kind, with) = (WarningKind::KeyChange, Some("bob".parse().unwrap()));
    let text = "the safety number changed".to_owned();
    assert_eq!(tell(&mut model, Event::Warning { kind, with, text }), [Effect::LoadChats]);
    assert_eq!(model.status, Some(Status::Trouble("bob: the safety number changed".into())));
}

#[test]
fn dropped_events_are_made_good_by_reading_again() {
    let mut model = with_bob();
    let load = Effect::LoadPage { with: handle("bob"), place: Place::Newest };
    assert_eq!(tell(&mut model, Event::Lagged(7)), [Effect::LoadChats, load]);
}

#[test]
fn leaving_asks_once_if_a_text_is_not_sent() {
    let mut model = with_bob();
    types(&mut model, "hm");
    ctrl(&mut model, 'c');
    assert!(!model.is_over);
    types(&mut model, "m");
    ctrl(&mut model, 'c');
    assert!(!model.is_over);
    ctrl(&mut model, 'c');
    assert!(model.is_over);
    let mut empty = listed();
    types(&mut empty, "q");
    assert!(empty.is_over);
    let mut stopped = with_bob();
    types(&mut stopped, "hm");
    stopped.update(Wakeup::Stop, NOW);
    assert!(stopped.is_over);
}

#[test]
fn a_click_opens_a_chat_and_the_wheel_scrolls() {
    let mut model = with_bob();
    model.size = (100, 10);
    let mouse = |kind, column, row| {
        Wakeup::Input(Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
    };
    let messages = model.geometry().messages;
    model.update(mouse(MouseEventKind::ScrollUp, messages.x, messages.y), NOW);
    assert!(!model.conversation.as_ref().unwrap().is_at_end());
    let chats = model.geometry().chats;
    model.update(mouse(MouseEventKind::Down(MouseButton::Left), chats.x, chats.y + 2), NOW);
    assert_eq!(model.conversation.as_ref().unwrap().with, handle("carol"));
    let below = mouse(MouseEventKind::Down(MouseButton::Left), chats.x, chats.bottom() - 1);
    assert_eq!(model.update(below, NOW), []);
}

#[test]
fn a_narrow_window_shows_one_side_at_a_time() {
    let mut model = with_bob();
    model.update(Wakeup::Input(Input::Resize(40, 20)), NOW);
    assert_eq!(model.geometry().chats.width, 0);
    keys(&mut model, &[KeyCode::Esc]);
    assert_eq!(model.geometry().messages.width, 0);
    // Nobody sees the conversation now.
    let message = message(10, "bob", "x").item();
    assert_eq!(tell(&mut model, Event::Message(message)), [Effect::LoadChats]);
    assert_eq!(keys(&mut model, &[KeyCode::Enter]), [Effect::MarkRead { with: handle("bob") }]);
}

#[test]
fn any_keys_on_any_size_are_taken() {
    let codes = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::F(1),
        KeyCode::Char('v'),
        KeyCode::Char('n'),
        KeyCode::Char('/'),
        KeyCode::Backspace,
        KeyCode::Delete,
    ];
    for size in [(0, 0), (1, 1), (20, 6), (68, 8), (300, 100)] {
        let mut model = with_bob();
        model.update(Wakeup::Input(Input::Resize(size.0, size.1)), NOW);
        for first in codes {
            for second in codes {
                keys(&mut model, &[first, second]);
                press(&mut model, second, KeyModifiers::CONTROL);
            }
        }
    }
}

#[test]
fn the_countdown_to_the_next_attempt_is_known() {
    let mut model = listed();
    let reason = "cannot reach it".to_owned();
    let offline = ConnectionState::Offline { retry_in_ms: Some(5_000), reason };
    tell(&mut model, Event::Connection(offline));
    assert_eq!(model.retry_at_ms, Some(NOW + 5_000));
    tell(&mut model, Event::Connection(ConnectionState::Online));
    assert_eq!(model.retry_at_ms, None);
}

#[test]
fn how_many_members_have_a_message_is_shown_in_its_bubble() {
    use godwit_client::Reach;
    let mut model = with_bob();
    let item = message(10, "alice", "to all").item();
    let id = item.id;
    tell(&mut model, Event::Message(item));
    let mut tells = |delivered, read| {
        let reach = Reach { delivered, read, of: 50 };
        tell(&mut model, Event::Reach { id, with: handle("bob"), reach });
        let open = model.conversation.as_ref().unwrap();
        crate::record::beside(open.newest().unwrap()).below.join("|")
    };
    assert_eq!(tells(37, 0), "delivered to 37 of 50");
    assert_eq!(tells(37, 12), "delivered to 37 of 50, read by 12");
    assert_eq!(tells(50, 12), "read by 12 of 50");
    assert_eq!(tells(50, 50), "", "the ticks are blue");
}
