//! Server-sent events (HTML Living Standard §9.2.6): bytes in, messages out.

/// The longest line or message this client takes; a video's state is far smaller.
const LIMIT_BYTES: usize = 1 << 20;

/// A dispatched event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its type; `message` when the server names none.
    pub(super) event: String,
    /// Its data lines, joined by line feeds.
    pub(super) data: String,
}

/// The stream is not what it claims to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// An incremental parser. Lines may end in LF, CR or CRLF and be cut anywhere, even within a character.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    past_first_line: bool,
    event: String,
    data: String,
}

impl Parser {
    /// Takes the next bytes and gives the messages they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let follows_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => messages.extend(self.end_line()),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LIMIT_BYTES {
                return Err(TooLong);
            }
        }
        Ok(messages)
    }

    fn end_line(&mut self) -> Option<Message> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let line = if std::mem::replace(&mut self.past_first_line, true) { &text } else { text.trim_start_matches('\u{feff}') };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // Comments (an empty field), ids and retry times: this client asks for the whole state anew after each break.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        Some(Message { event: if event.is_empty() { "message".to_owned() } else { event }, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: &str, data: &str) -> Message {
        Message { event: event.to_owned(), data: data.to_owned() }
    }

    const STREAM: &str = "\u{feff}: hello\n\nevent: video\r\ndata: {\"title\":\"ü\"}\r\n\r\ndata:a\rdata: b\r\rid: 7\nevent: lonely\n\ndata\n\nretry: 5\ndata:  x\n\n";

    fn expected() -> Vec<Message> {
        vec![message("video", "{\"title\":\"ü\"}"), message("message", "a\nb"), message("message", ""), message("message", " x")]
    }

    #[test]
    fn every_line_end_comment_and_field_of_the_standard() {
        assert_eq!(Parser::default().push(STREAM.as_bytes()), Ok(expected()));
    }

    #[test]
    fn bytes_may_be_cut_anywhere() {
        let mut parser = Parser::default();
        let messages: Vec<_> = STREAM.as_bytes().iter().flat_map(|byte| parser.push(&[*byte]).expect("short")).collect();
        assert_eq!(messages, expected());
    }

    #[test]
    fn an_unfinished_message_is_not_dispatched() {
        assert_eq!(Parser::default().push(b"event: video\ndata: {}\n"), Ok(vec![]));
    }

    #[test]
    fn an_endless_line_is_refused() {
        assert_eq!(Parser::default().push(&vec![b'x'; LIMIT_BYTES + 1]), Err(TooLong));
    }
}
