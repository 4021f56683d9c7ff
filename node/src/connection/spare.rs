//! The output buffers of all connections that a thread serves: one, as long as sockets take what is
//! written at once. An idle connection holds none, and a busy one finds it in the processor's cache.

use std::cell::RefCell;

use bytes::BytesMut;

/// A larger buffer is not kept.
const KEPT: usize = 512 * 1024;

thread_local! {
    static SPARE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// An empty buffer, with memory if this thread has some to spare.
pub(super) fn take() -> BytesMut {
    SPARE.take()
}

/// Takes back a buffer that is empty.
pub(super) fn put(mut buffer: BytesMut) {
    buffer.clear();
    // What was written has moved its beginning.
    if !buffer.try_reclaim(KEPT + 1) && buffer.try_reclaim(1) {
        SPARE.with_borrow_mut(|spare| {
            if buffer.capacity() > spare.capacity() {
                *spare = buffer;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    #[test]
    fn a_buffer_is_used_again_unless_it_is_large() {
        let mut buffer = BytesMut::with_capacity(10_000);
        let memory = buffer.as_ptr();
        buffer.extend_from_slice(&[1; 5000]);
        buffer.advance(5000);
        put(buffer);
        let mut buffer = take();
        assert!(buffer.is_empty());
        assert_eq!(take().capacity(), 0, "there is one");
        buffer.extend_from_slice(&[1; 9000]);
        assert_eq!(buffer.as_ptr(), memory);
        put(BytesMut::with_capacity(2 * KEPT));
        assert_eq!(take().capacity(), 0);
        put(BytesMut::with_capacity(2000));
        put(BytesMut::with_capacity(10));
        assert!(take().capacity() >= 2000, "the larger one is kept");
    }
}
