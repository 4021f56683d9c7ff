//! MQTT over WebSocket (MQTT 5 section 6, RFC 6455): a stream of bytes out of binary frames.
//!
//! Where frames begin and end means nothing to MQTT [MQTT-6.0.0-2], so payload is passed on as it
//! comes and no frame is ever held as a whole. An idle connection holds no buffer.

mod frame;
mod handshake;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::frame::{Frames, MOST_OWN_HEADER_BYTES, Outgoing, Violation};
pub(super) use self::handshake::{HandshakeError, accept};

/// Largest frame that is sent: some clients hold a frame as a whole, and limit it.
const MOST_FRAME_BYTES: usize = 64 * 1024;
/// The status code for "all said" (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

/// A WebSocket whose handshake is done, as the stream of bytes in its binary frames.
///
/// What was offered to `poll_write` and not taken must be offered again: the frame that it belongs
/// to may have begun.
pub(super) struct WebSocket<S> {
    stream: S,
    frames: Frames,
    /// Header and control frames that are to be written before anything else.
    pending: Vec<u8>,
    /// Payload still owed to the frame that has begun.
    owed: usize,
    /// The answer to the last ping, which waits for the end of that frame.
    pong: Option<Vec<u8>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is among what is pending, or written.
    Closing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            frames: Frames::default(),
            pending: Vec::new(),
            owed: 0,
            pong: None,
            state: State::Open,
        }
    }

    /// Writes what must go out before the next payload.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.owed == 0
                && let Some(payload) = self.pong.take()
            {
                self.control(Outgoing::Pong, &payload);
            }
            if self.pending.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..count);
            if self.pending.is_empty() {
                self.pending = Vec::new();
            }
        }
    }

    fn control(&mut self, kind: Outgoing, payload: &[u8]) {
        let (header, length) = frame::header(kind, payload.len());
        self.pending
            .extend_from_slice(header.get(..length).unwrap_or_default());
        self.pending.extend_from_slice(payload);
    }

    /// Adds our close frame, once; with the code, or else with what the client's had.
    fn close(&mut self, payload: &[u8]) {
        if self.state == State::Open {
            self.state = State::Closing;
            self.pong = None;
            // Inside of a frame nothing can be said any more.
            if self.owed == 0 {
                self.control(Outgoing::Close, payload);
            }
        }
    }

    /// Takes what one read has brought. Returns how many bytes of payload are at its front.
    fn take(&mut self, piece: &mut [u8], cx: &mut Context<'_>) -> io::Result<Option<usize>> {
        match self.frames.decode(piece) {
            Ok(decoded) => {
                if decoded.ping.is_some() {
                    self.pong = decoded.ping;
                }
                if let Some(payload) = decoded.close {
                    // The code comes back, the text does not (section 5.5.1).
                    self.close(payload.get(..2).unwrap_or_default());
                }
                // What cannot be written now is written with the next packet, or when the socket
                // takes it.
                let _ = self.poll_pending(cx)?;
                let is_closed = self.state == State::Closing;
                Ok((decoded.payload > 0 || is_closed).then_some(decoded.payload))
            }
            Err(violation) => {
                self.close(&violation.code().to_be_bytes());
                let _ = self.poll_pending(cx);
                let _ = Pin::new(&mut self.stream).poll_flush(cx);
                Err(io::Error::new(io::ErrorKind::InvalidData, violation))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.pending.is_empty() || this.pong.is_some() {
            let _ = this.poll_pending(cx)?;
        }
        loop {
            if this.state == State::Closing {
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            let piece = buffer.filled_mut().get_mut(before..).unwrap_or_default();
            if piece.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let taken = this.take(piece, cx);
            let payload = taken.as_ref().ok().copied().flatten().unwrap_or(0);
            buffer.set_filled(before + payload);
            match taken {
                Ok(None) => {}
                Ok(Some(_)) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.state == State::Closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut header = [0; MOST_OWN_HEADER_BYTES];
        let mut length = 0;
        if this.owed == 0 {
            // What is pending belongs to other frames, before this one.
            ready!(this.poll_pending(cx))?;
            this.owed = bytes.len().min(MOST_FRAME_BYTES);
            if this.owed == 0 {
                return Poll::Ready(Ok(0));
            }
            (header, length) = frame::header(Outgoing::Binary, this.owed);
        } else if !this.pending.is_empty() {
            // The rest of the header of this frame.
            length = this.pending.len().min(MOST_OWN_HEADER_BYTES);
            for (slot, byte) in header.iter_mut().zip(this.pending.drain(..)) {
                *slot = byte;
            }
        }
        let header = header.get(..length).unwrap_or_default();
        let payload = bytes.get(..this.owed.min(bytes.len())).unwrap_or_default();
        let slices = [IoSlice::new(header), IoSlice::new(payload)];
        let count = match Pin::new(&mut this.stream).poll_write_vectored(cx, &slices) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                this.pending.extend_from_slice(header);
                return Poll::Pending;
            }
        };
        if count < length {
            this.pending
                .extend_from_slice(header.get(count..).unwrap_or_default());
            // The socket has just taken all it can; it wakes us when there is room.
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let written = count - length;
        this.owed -= written;
        if written == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.owed == 0 {
            ready!(this.poll_pending(cx))?;
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.close(&NORMAL.to_be_bytes());
        if this.owed == 0 {
            ready!(this.poll_pending(cx))?;
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// Whether a stream has ended because the client broke the protocol of WebSocket.
pub(super) fn is_violation(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Violation>())
}

#[cfg(test)]
mod tests;
