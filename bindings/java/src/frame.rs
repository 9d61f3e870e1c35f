//! The encoding between Rust and Java: big-endian numbers; text and bytes after their length.

use std::sync::Arc;

use plumline::{Endpoint, Error, Kind, Result, TraceOutcome, TraceStep};

/// Writes a frame.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Writer {
        Writer(Vec::with_capacity(bytes))
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Writer {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Writer {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Writer {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Writer {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn f64(&mut self, value: f64) -> &mut Writer {
        self.u64(value.to_bits())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Writer {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn texts<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) -> &mut Writer {
        self.u32(texts.len() as u32);
        texts.for_each(|text| {
            self.text(text);
        });
        self
    }

    /// One byte that tells whether there is a value, then the value.
    pub(crate) fn some<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Writer, T)) -> &mut Writer {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    /// The fields of an endpoint. Java reads them in `Endpoint.read`.
    pub(crate) fn endpoint(&mut self, endpoint: &Endpoint) -> &mut Writer {
        self.text(&endpoint.service).text(&endpoint.instance_id).text(&endpoint.node_id).text(&endpoint.host);
        self.text(&endpoint.ip.to_string()).u16(endpoint.port);
        self.text(&endpoint.protocol).text(&endpoint.version);
        self.u32(endpoint.labels.len() as u32);
        endpoint.labels.iter().for_each(|(name, value)| {
            self.text(name).text(value);
        });
        self.u32(endpoint.weight).text(&endpoint.zone).u8(u8::from(endpoint.healthy));
        self.u64(endpoint.last_seen).text(&endpoint.source).text(&endpoint.generation)
    }

    /// The steps of a call. A step at `known` is written without its endpoint, because Java has it.
    pub(crate) fn trace(&mut self, trace: &[TraceStep], known: Option<&Arc<Endpoint>>) -> &mut Writer {
        self.u32(trace.len() as u32);
        for step in trace {
            let is_known = known.is_some_and(|known| Arc::ptr_eq(known, &step.endpoint));
            self.some((!is_known).then_some(&step.endpoint), |out, endpoint| {
                out.endpoint(endpoint);
            });
            match &step.outcome {
                TraceOutcome::Status(status) => self.u8(0).u16(*status),
                TraceOutcome::Failed(kind, message) => self.u8(kind.number()).text(message),
            };
            self.u64(step.elapsed.as_nanos() as u64);
        }
        self
    }

    /// An error with all its fields. Java reads it in `PlumException.read`.
    pub(crate) fn error(&mut self, error: &Error, interrupted: bool) -> &mut Writer {
        self.u8(error.kind().number()).u8(u8::from(interrupted)).text(error.message());
        self.some(error.service(), |out, service| {
            out.text(service);
        });
        self.some(error.endpoint(), |out, endpoint| {
            out.endpoint(endpoint);
        });
        self.u32(error.attempts()).trace(error.trace(), error.endpoint())
    }
}

/// Reads a frame.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(length) else { return Err(truncated()) };
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| truncated())
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::invalid("a text is not valid UTF-8"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cold]
fn truncated() -> Error {
    Error::new(Kind::Internal, "a frame from Java is truncated")
}
