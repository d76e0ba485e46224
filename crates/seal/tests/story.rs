//! smoke
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]
use godwit_base::DeviceNumber;
use godwit_seal::*;
use zeroize::Zeroizing;
#[test]
fn smoke() {
    let now = 1_700_000_000_000;
    let mk = || {
        let k = AccountKey::generate();
        let d = DeviceKeys::create(&k.public(), DeviceNumber(1), now);
        let l = DeviceList::sign(&k, None, &[d.describe()], now).unwrap();
        let id = k.public().id();
        let v = DeviceList::verify(&l, Trust::FirstUse(id), None, now).unwrap();
        println!("list {}", l.len());
        (k, d, v)
    };
    let (_, mut a, al) = mk();
    let (_, mut b, bl) = mk();
    let up = b.upload();
    println!("otk {} fb {}", up.one_time[0].1.len(), up.fallback.as_ref().unwrap().len());
    let bundle =
        Bundle::verify(&up.one_time[0].1, up.fallback.as_ref().unwrap(), &bl, DeviceNumber(1), now)
            .unwrap();
    let bp = bl.peer(DeviceNumber(1)).unwrap();
    let ap = al.peer(DeviceNumber(1)).unwrap();
    let mut ab = Pairing::new(&bp);
    let mut ba = Pairing::new(&ap);
    ab.start(&a, &bundle, now).unwrap();
    let inner = |c| Inner {
        counter: c,
        sent_at_ms: now,
        resend_of: None,
        body: Zeroizing::new(vec![7; 24]),
    };
    let s = ab.seal(&a, &inner(1)).unwrap();
    println!("opening {} {}", s.opening, s.bytes.len());
    let o = ba
        .open(&mut b, &ap, Envelope { counter: 1, opening: s.opening, bytes: &s.bytes }, now)
        .unwrap();
    assert!(o.new_session);
    for c in 1..4 {
        let s = ba.seal(&b, &inner(c)).unwrap();
        println!("settled {} {}", s.opening, s.bytes.len());
        ab.open(&mut a, &bp, Envelope { counter: c, opening: s.opening, bytes: &s.bytes }, now)
            .unwrap();
    }
    let s = ab.seal(&a, &inner(2)).unwrap();
    println!("settled {} {}", s.opening, s.bytes.len());
    let rk = RowKey::generate().unwrap();
    println!("row {} devkeys {}", ab.to_row(&rk).unwrap().len(), b.to_row(&rk).unwrap().len());
    let t = std::time::Instant::now();
    for _ in 0..100 {
        b.to_row(&rk).unwrap();
    }
    println!("devkeys row {:?}", t.elapsed() / 100);
    let r = b.to_row(&rk).unwrap();
    let t = std::time::Instant::now();
    DeviceKeys::from_row(&rk, &r).unwrap();
    println!("devkeys from row {:?}", t.elapsed());
    let t = std::time::Instant::now();
    for _ in 0..100 {
        ab.to_row(&rk).unwrap();
    }
    println!("pairing row {:?}", t.elapsed() / 100);
    let t = std::time::Instant::now();
    b.upload();
    println!("upload {:?}", t.elapsed());
}
