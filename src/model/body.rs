//! The text of a message.

/// The text of a message: 1 to 1024 Unicode scalar values, not all of them
/// white space, kept exactly as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageBody(String);

/// A text that cannot be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessageBody {
    /// Nothing to read in it.
    #[error("A message needs a character that is not white space.")]
    Blank {
        /// Length of the text in Unicode scalar values.
        length: usize,
    },
    /// Longer than a message may be.
    #[error("A message has at most 1024 characters; this one has {length}.")]
    TooLong {
        /// Length of the text in Unicode scalar values.
        length: usize,
    },
}

impl InvalidMessageBody {
    /// Length of the refused text in Unicode scalar values.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Self::Blank { length } | Self::TooLong { length } => length,
        }
    }
}

impl MessageBody {
    /// The most Unicode scalar values that a message may have.
    pub const MAX_LENGTH: usize = 1024;

    /// Checks a text.
    pub fn parse(text: String) -> Result<Self, InvalidMessageBody> {
        let length = text.chars().count();
        if length > Self::MAX_LENGTH {
            return Err(InvalidMessageBody::TooLong { length });
        }
        if text.chars().all(char::is_whitespace) {
            return Err(InvalidMessageBody::Blank { length });
        }
        Ok(Self(text))
    }

    /// The text as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_characters_and_not_bytes() {
        let longest = "😀".repeat(MessageBody::MAX_LENGTH);
        assert!(MessageBody::parse(longest.clone()).is_ok());
        assert_eq!(
            MessageBody::parse(longest + "!"),
            Err(InvalidMessageBody::TooLong { length: 1025 })
        );
    }

    #[test]
    fn white_space_of_any_kind_is_blank() {
        for (text, length) in [("", 0), (" \t\n", 3), ("\u{2003}\u{a0}", 2)] {
            assert_eq!(
                MessageBody::parse(text.to_owned()),
                Err(InvalidMessageBody::Blank { length })
            );
        }
    }
}
