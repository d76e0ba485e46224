use super::*;
use crate::core::Body;

fn id() -> MessageId {
    MessageId { device: DeviceId::new(0x0102_0304_0506_0708, 2), counter: 300 }
}

const REFERENCE: [u8; 14] = [0x09, 8, 7, 6, 5, 4, 3, 2, 1, 0x10, 2, 0x18, 0xac, 0x02];

/// A content field that holds a reference, then `rest`.
fn about(field: &[u8], rest: &[u8]) -> Vec<u8> {
    let length = u8::try_from(2 + REFERENCE.len() + rest.len()).unwrap();
    [field, &[length, 0x0a, 14], &REFERENCE, rest].concat()
}

#[test]
fn bytes_of_each_kind_are_frozen() {
    let bytes = |act: &Act| Body::about(id(), act);
    assert_eq!(bytes(&Act::Reaction("x".to_owned())), about(&[0x22], &[0x12, 1, b'x']));
    assert_eq!(bytes(&Act::Edit("hi".to_owned())), about(&[0x2a], &[0x12, 2, b'h', b'i']));
    assert_eq!(bytes(&Act::Deletion), about(&[0x32], &[]));
    assert_eq!(bytes(&Act::Vote(vec![0, 2])), about(&[0xb2, 0x01], &[0x12, 2, 0, 2]));
    let star = about(&[0x0a], &[0x10, 1]);
    let mark = [&[0xba, 0x01, u8::try_from(star.len()).unwrap()], star.as_slice()].concat();
    assert_eq!(bytes(&Act::Star(true)), mark);
    assert_eq!(Body::receipts(true), [0xba, 0x01, 2, 0x10, 1]);
    assert_eq!(Body::timer(300), [0x3a, 3, 0x08, 0xac, 0x02]);
    let poll = poll_of("q", &["a".to_owned(), "b".to_owned()], true).unwrap();
    let expected = [0x72, 11, 0x0a, 1, b'q', 0x12, 1, b'a', 0x12, 1, b'b', 0x18, 1];
    assert_eq!(Body::poll(&poll, 0), expected);
}

#[test]
fn the_context_stands_beside_the_text_and_comes_back() {
    let context = Context {
        reply_to: Some(Quote { id: id(), text: "q".to_owned() }),
        forwarded: true,
        mentions: vec![Mention { handle: "bob".parse().unwrap(), start: 0, bytes: 3 }],
    };
    let bytes = Body::said("bob", &context, 60);
    let quote = [&[0x92, 0x01, 19, 0x0a, 14], REFERENCE.as_slice(), &[0x12, 1, b'q']].concat();
    let rest = [0x98, 0x01, 1, 0xa2, 0x01, 7, 0x0a, 3, b'b', b'o', b'b', 0x18, 3, 0xa8, 0x01, 60];
    assert_eq!(bytes, [&[0x0a, 3, b'b', b'o', b'b'], quote.as_slice(), &rest].concat());
    let details = Body::decode(&bytes).details;
    assert_eq!(details.reply_to, context.reply_to);
    assert_eq!(details.mentions, context.mentions);
    assert_eq!((details.forwarded, details.timer_s), (true, 60));
}

#[test]
fn every_kind_comes_back() {
    for act in [
        Act::Reaction("👍".to_owned()),
        Act::Reaction(String::new()),
        Act::Edit("other".to_owned()),
        Act::Deletion,
        Act::Vote(vec![11, 0]),
    ] {
        let content = Body::decode(&Body::about(id(), &act)).content;
        assert_eq!(content, Content::About { about: id(), act });
    }
    let star = Content::Mark(Mark::Star { about: id(), on: false });
    assert_eq!(Body::decode(&Body::about(id(), &Act::Star(false))).content, star);
    let receipts = Content::Mark(Mark::Receipts(false));
    assert_eq!(Body::decode(&Body::receipts(false)).content, receipts);
    assert_eq!(Body::decode(&Body::timer(0)).content, Content::Timer(0));
}

#[test]
fn both_sides_of_each_bound() {
    let is_known = |act: Act| {
        let is_known = Body::decode(&Body::about(id(), &act)).content != Content::Unknown;
        assert_eq!(act.check().is_ok(), is_known, "both sides agree");
        is_known
    };
    assert!(is_known(Act::Reaction("x".repeat(EMOJI_BYTES_MAX))));
    assert!(!is_known(Act::Reaction("x".repeat(EMOJI_BYTES_MAX + 1))));
    assert!(!is_known(Act::Reaction("a b".to_owned())));
    assert!(is_known(Act::Edit("x".repeat(TEXT_BYTES_MAX))));
    assert!(!is_known(Act::Edit("x".repeat(TEXT_BYTES_MAX + 1))));
    let most = u32::try_from(OPTIONS_MAX).unwrap();
    assert!(is_known(Act::Vote((0..most).collect())));
    assert!(!is_known(Act::Vote((0..=most).collect())));
    assert!(!is_known(Act::Vote(vec![1, 1])));

    let options = |count, bytes| vec!["x".repeat(bytes); count];
    let poll = |question: usize, options: &[String]| {
        poll_of(&"q".repeat(question), options, false).is_ok()
    };
    assert!(poll(QUESTION_BYTES_MAX, &options(OPTIONS_MIN, 1)));
    assert!(!poll(QUESTION_BYTES_MAX + 1, &options(OPTIONS_MIN, 1)));
    assert!(!poll(0, &options(OPTIONS_MIN, 1)));
    assert!(poll(1, &options(OPTIONS_MAX, OPTION_BYTES_MAX)));
    assert!(!poll(1, &options(OPTIONS_MAX, OPTION_BYTES_MAX + 1)));
    assert!(!poll(1, &options(OPTIONS_MAX + 1, 1)) && !poll(1, &options(OPTIONS_MIN - 1, 1)));
    assert!(!poll(1, &options(OPTIONS_MIN, 0)));

    for timer_s in [0, TIMER_S_MIN, TIMER_S_MAX] {
        assert_eq!(check_timer(timer_s), Ok(()));
    }
    assert!(check_timer(TIMER_S_MIN - 1).is_err() && check_timer(TIMER_S_MAX + 1).is_err());
    let later = Body::decode(&Body::timer(TIMER_S_MAX + 1)).content;
    assert_eq!(later, Content::Timer(TIMER_S_MAX));

    assert_eq!(quoted(&"x".repeat(QUOTE_BYTES_MAX)).len(), QUOTE_BYTES_MAX);
    assert_eq!(quoted(&"x".repeat(QUOTE_BYTES_MAX + 1)).len(), QUOTE_BYTES_MAX);
    assert_eq!(quoted(&("x".repeat(QUOTE_BYTES_MAX - 1) + "é")).len(), QUOTE_BYTES_MAX - 1);
}

#[test]
fn mentions_are_ranges_of_the_text_and_so_many() {
    let mention = |start, bytes| Mention { handle: "bob".parse().unwrap(), start, bytes };
    let context = |mentions| Context { mentions, ..Context::default() };
    let most = context(vec![mention(0, 2); MENTIONS_MAX]);
    let more = context(vec![mention(0, 2); MENTIONS_MAX + 1]);
    assert!(check_context(&most, "é").is_ok() && check_context(&more, "é").is_err());
    assert_eq!(Body::decode(&Body::said("é", &more, 0)).details.mentions, most.mentions);
    // Half a letter, beyond the end, nothing, beyond all numbers.
    for (start, bytes) in [(0, 1), (0, 3), (0, 0), (u32::MAX, u32::MAX)] {
        let wrong = context(vec![mention(start, bytes)]);
        assert!(check_context(&wrong, "é").is_err(), "{start} {bytes}");
        assert!(Body::decode(&Body::said("é", &wrong, 0)).details.mentions.is_empty());
    }
}

#[test]
fn the_longest_text_with_the_longest_context_fits_a_copy() {
    let handle = "x".repeat(godwit_base::limits::HANDLE_BYTES_MAX);
    let start = u32::try_from(TEXT_BYTES_MAX - 32).unwrap();
    let mention = Mention { handle: handle.parse().unwrap(), start, bytes: 32 };
    let context = Context {
        reply_to: Some(Quote {
            id: MessageId { device: DeviceId::new(u64::MAX, u32::MAX), counter: u64::MAX },
            text: "q".repeat(QUOTE_BYTES_MAX),
        }),
        forwarded: true,
        mentions: vec![mention; MENTIONS_MAX],
    };
    let longest = Body::said(&"x".repeat(TEXT_BYTES_MAX), &context, TIMER_S_MAX).len();
    assert!(longest * 112 / 100 + 200 <= godwit_base::limits::BODY_BYTES_MAX, "{longest}");
}

/// A file with the longest of everything.
fn media() -> Media {
    let info = MediaInfo {
        name: "n".repeat(NAME_BYTES_MAX),
        mime: "m".repeat(MIME_BYTES_MAX),
        bytes: 1_000,
        width: 640,
        height: 480,
        duration_ms: 1_500,
        thumbnail: vec![0xff; THUMBNAIL_BYTES_MAX],
        waveform: vec![0xff; WAVEFORM_STEPS_MAX],
        voice: true,
    };
    let key = FileKey::from_bytes(&[8; 32]);
    let sealed_bytes = sealed_bytes(info.bytes).unwrap();
    Media { blob: BlobId([9; 32]), key, sealed_bytes, info }
}

#[test]
fn a_file_comes_back_with_everything_at_its_bound() {
    let (media, text) = (media(), "t".repeat(CAPTION_BYTES_MAX));
    let mentions = vec![Mention { handle: "bob".parse().unwrap(), start: 0, bytes: 3 }];
    let context = Context { mentions: mentions.clone(), ..Context::default() };
    let bytes = Body::media(&media, &text, &context, 60);
    let body = Body::decode(&bytes);
    assert_eq!(body.content, Content::Media(Box::new(media.clone()), Some(text.clone())));
    let shown = body.shown().unwrap();
    assert_eq!((shown.text, shown.note, shown.details.timer_s), (Some(text), None, 60));
    assert_eq!(shown.details.media.as_deref(), Some(&media.info));
    assert_eq!(shown.details.mentions, mentions);
    // Padded and sealed it stays under the 56 KiB that a sealed copy may have.
    assert!(bytes.len() + 2_000 < TEXT_BYTES_MAX, "{}", bytes.len());
    let without = Body::decode(&Body::media(&media, "", &Context::default(), 0));
    assert_eq!(without.content, Content::Media(Box::new(media), None));
}

#[test]
fn a_file_beyond_a_bound_needs_an_update_and_is_not_sent() {
    let beyond: [fn(&mut MediaInfo); 5] = [
        |info| info.name.push('n'),
        |info| info.mime.push('m'),
        |info| info.thumbnail.push(0),
        |info| info.waveform.push(0),
        |info| info.bytes = godwit_seal::ATTACHMENT_BYTES_MAX + 1,
    ];
    for (at, change) in beyond.into_iter().enumerate() {
        let mut media = media();
        change(&mut media.info);
        let said = Body::media(&media, "", &Context::default(), 0);
        assert_eq!(Body::decode(&said).content, Content::Unknown, "{at}");
        assert_eq!(check_media(&media.info, "").is_ok(), at == 4, "{at}");
    }
    let long = "t".repeat(CAPTION_BYTES_MAX + 1);
    let said = Body::media(&media(), &long, &Context::default(), 0);
    assert_eq!(Body::decode(&said).content, Content::Unknown);
    assert!(matches!(check_media(&media().info, &long), Err(Error::TextTooLong { .. })));
    for (blob, key) in [(31, 32), (33, 32), (32, 31), (32, 33), (0, 0)] {
        let said =
            format::Media { blob: vec![9; blob], key: vec![8; key], ..format::Media::default() };
        let known = content_of(Some(format::body::Content::Media(said)));
        assert_eq!(known, Content::Unknown, "{blob} {key}");
    }
}

#[test]
fn bytes_of_a_file_are_frozen() {
    let info = MediaInfo { name: "a".to_owned(), bytes: 5, ..MediaInfo::default() };
    let media = Media { info, ..media() };
    let bytes = Body::media(&media, "hi", &Context::default(), 0);
    let pointer = [&[0x0a, 32][..], &[9; 32], &[0x12, 32], &[8; 32], &[0x18, 5]].concat();
    let shown = [0x2a, 1, b'a', 0x32, 2, b'h', b'i'];
    let length = u8::try_from(pointer.len() + shown.len()).unwrap();
    assert_eq!(bytes, [&[0x1a, length], pointer.as_slice(), &shown].concat());
    assert!(!format!("{media:?}").contains('8'), "keys are not printed");
}
