//! How bytes arrive: in pieces of any length.

/// Lengths of pieces that look accidental: `seed` chooses them.
pub(crate) fn pieces(seed: u8, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed);
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        // Seed 0: one byte at a time, as the slowest of clients writes.
        let wanted = if seed == 0 {
            1
        } else {
            1 + (state >> 16) as usize % 9
        };
        let (piece, tail) = rest.split_at(wanted.min(rest.len()));
        rest = tail;
        Some(piece)
    })
}
