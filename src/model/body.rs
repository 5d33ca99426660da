//! The text of a message.

/// The text of a message.
///
/// It has 1 to 1024 Unicode scalar values, at least one of which is not white
/// space, and is stored exactly as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageBody(String);

/// The text is not a valid message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessageBody {
    /// The text is empty or has only white space.
    #[error("A message needs a character that is not white space.")]
    Blank {
        /// Length of the text in Unicode scalar values.
        length: usize,
    },
    /// The text exceeds [`MessageBody::MAX_LENGTH`].
    #[error("A message has at most 1024 characters; this one has {length}.")]
    TooLong {
        /// Length of the text in Unicode scalar values.
        length: usize,
    },
}

impl InvalidMessageBody {
    /// Returns the length of the rejected text in Unicode scalar values.
    pub fn length(self) -> usize {
        match self {
            Self::Blank { length } | Self::TooLong { length } => length,
        }
    }
}

impl MessageBody {
    /// Maximum length of a message in Unicode scalar values, as in the original.
    pub const MAX_LENGTH: usize = 1024;

    /// Validates a text.
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

    /// Returns the text exactly as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_length_counts_characters_instead_of_bytes() {
        let longest = "😀".repeat(MessageBody::MAX_LENGTH);
        assert!(MessageBody::parse(longest.clone()).is_ok());
        assert_eq!(
            MessageBody::parse(longest + "!"),
            Err(InvalidMessageBody::TooLong { length: 1025 })
        );
    }

    #[test]
    fn body_of_white_space_of_any_kind_is_blank() {
        for (text, length) in [("", 0), (" \t\n", 3), ("\u{2003}\u{a0}", 2)] {
            assert_eq!(
                MessageBody::parse(text.to_owned()),
                Err(InvalidMessageBody::Blank { length })
            );
        }
    }
}
