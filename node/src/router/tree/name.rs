//! The name of one level of a topic filter, in as few bytes as can be.

/// Bytes of a name that needs no memory of its own.
const SHORT: usize = 22;

/// The name of a level: most devices have a short one.
#[derive(Debug)]
pub(super) enum Name {
    /// Its length, and its bytes with zeros behind.
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Name {
    pub(super) fn new(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(name.as_bytes());
                Self::Short(length, bytes)
            }
            _ => Self::Long(name.as_bytes().into()),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_length_is_kept() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 300] {
            let name = "é".repeat(length / 2) + &"x".repeat(length % 2);
            assert_eq!(Name::new(&name).as_bytes(), name.as_bytes());
        }
    }

    #[test]
    fn a_name_is_small() {
        assert_eq!(size_of::<Name>(), 24);
    }
}
