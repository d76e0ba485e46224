//! QR codes made of characters: two modules stand in one cell, so that the code is square.

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code; scanners want four, and two are enough on a screen whose cells
/// around it are light as well.
const QUIET_MODULES: usize = 2;

/// The code as lines of half blocks, light modules drawn and dark ones left empty: right on a
/// terminal with a dark background, and the inverse (which scanners read too) on a light one.
/// `None` if the content is too large for any code.
pub(crate) fn lines(content: &[u8]) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(content, EcLevel::L).ok()?;
    let side = code.width();
    let is_light = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET_MODULES).filter(|at| *at < side);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => code[(x, y)] == Color::Light,
            // An odd number of rows leaves half a cell below the quiet zone: empty.
            _ => y < side + 2 * QUIET_MODULES,
        }
    };
    let whole = side + 2 * QUIET_MODULES;
    let row = |y: usize| {
        (0..whole)
            .map(|x| match (is_light(x, y), is_light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect()
    };
    Some((0..whole).step_by(2).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    #[test]
    fn the_code_is_square_and_has_its_corners() {
        let lines = lines(b"godwit").unwrap();
        let whole = 21 + 2 * QUIET_MODULES; // version 1 is 21 modules wide
        assert_eq!(lines.len(), whole.div_ceil(2));
        assert!(lines.iter().all(|line| text::width(line) == whole));
        // The first line is quiet; the next begins with the dark bar of a corner.
        assert!(lines[0].chars().all(|c| c == '█'));
        assert!(lines[1].starts_with("██ ▄▄▄▄▄ █"), "{}", lines[1]);
    }

    #[test]
    fn what_no_code_can_hold_gives_none() {
        assert!(lines(&[0; 2_953]).is_some());
        assert!(lines(&[0; 2_954]).is_none());
    }
}
