//! The socket with its two buffers.

use std::{future::poll_fn, io, mem::MaybeUninit, pin::Pin, task::Poll, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::spare;
use crate::telemetry::{Flow, Metrics, Seat};

/// Bytes read in one call.
const READ: usize = 16 * 1024;
/// Calls before what was read is handled.
const READS: usize = 4;

/// The socket with what was read and not handled, and what is to be written.
pub(super) struct Transport<S> {
    stream: S,
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
    written: u64,
    /// Whether a layer below may hold back what was written.
    is_held: bool,
    seat: Seat,
}

/// What an exchange of bytes has come to.
pub(super) enum Exchange {
    /// Something was read, or everything was written.
    Moved,
    /// The client has closed.
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    /// `input`: what has been read already.
    pub(super) fn new(stream: S, input: BytesMut, seat: Seat) -> Self {
        Self {
            stream,
            input,
            output: BytesMut::new(),
            written: 0,
            is_held: false,
            seat,
        }
    }

    /// Writes what is to be written, and reads if `may_read`. Returns when something was read and, if
    /// `awaits_room`, when everything was written. Cancel safe.
    ///
    /// # Errors
    ///
    /// The socket is broken.
    pub(super) async fn exchange(
        &mut self,
        may_read: bool,
        awaits_room: bool,
    ) -> io::Result<Exchange> {
        poll_fn(|cx| {
            let had_output = !self.output.is_empty();
            while !self.output.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Exchange::Closed)),
                    Poll::Ready(Ok(count)) => {
                        self.written += u64::try_from(count).unwrap_or(0);
                        let flows = &self.seat.metrics.traffic.flows;
                        flows.add(Flow::BytesSent, count);
                        self.output.advance(count);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
            }
            let is_written = had_output && self.output.is_empty();
            if self.output.is_empty() && (had_output || self.output.capacity() > 0) {
                spare::put(std::mem::take(&mut self.output));
            }
            self.is_held |= had_output;
            if self.is_held && self.output.is_empty() {
                match Pin::new(&mut self.stream).poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.is_held = false,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    // TLS, with a full socket: it is asked again whenever there is room.
                    Poll::Pending => {}
                }
            }
            let read = if may_read {
                self.poll_read(cx)
            } else {
                Poll::Pending
            };
            match read {
                Poll::Ready(Ok(0)) => Poll::Ready(Ok(Exchange::Closed)),
                Poll::Ready(Ok(_)) => Poll::Ready(Ok(Exchange::Moved)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending if is_written && awaits_room => Poll::Ready(Ok(Exchange::Moved)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Reads through a buffer on the stack, so that an idle connection holds none.
    fn poll_read(&mut self, cx: &mut std::task::Context<'_>) -> Poll<io::Result<usize>> {
        let mut total = 0;
        for _ in 0..READS {
            let mut scratch = [MaybeUninit::uninit(); READ];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if total == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
            let filled = buffer.filled();
            if filled.is_empty() && total == 0 {
                return Poll::Ready(Ok(0));
            }
            self.input.extend_from_slice(filled);
            total += filled.len();
            if filled.len() < READ {
                break;
            }
        }
        if total == 0 {
            return Poll::Pending;
        }
        let flows = &self.seat.metrics.traffic.flows;
        flows.add(Flow::BytesReceived, total);
        Poll::Ready(Ok(total))
    }

    /// Where to write.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        if self.output.capacity() == 0 {
            self.output = spare::take();
        }
        &mut self.output
    }

    /// Where it counts.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.seat.metrics
    }

    /// Bytes written so far.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Gives an empty input buffer back; messages may still share its memory.
    pub(super) fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// Closes the socket; says so before, where the transport has a word for it and the socket takes
    /// it at once.
    pub(super) async fn part(mut self) {
        if self.output.is_empty() {
            poll_fn(|cx| {
                // The connection ends whether this succeeds or not.
                let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                Poll::Ready(())
            })
            .await;
        }
    }

    /// Writes everything, but not for longer than `limit`, and closes.
    pub(super) async fn flush(&mut self, limit: Duration) {
        let write = async {
            self.stream.write_all(&self.output).await?;
            self.stream.shutdown().await
        };
        // The connection ends whether this succeeds or not.
        let _ = tokio::time::timeout(limit, write).await;
        self.output.clear();
    }
}
