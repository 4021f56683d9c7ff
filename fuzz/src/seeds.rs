//! Inputs to start from, and inputs that once failed, as text: `seeds/<target>.txt`.
//!
//! One input a line, in hexadecimal; `#` starts a comment.

/// The inputs of a file.
///
/// # Errors
///
/// The number of the first line that is not an even number of hexadecimal digits.
pub fn parse(text: &str) -> Result<Vec<Vec<u8>>, usize> {
    let mut inputs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (digits, _) = line.split_once('#').unwrap_or((line, ""));
        let digits = digits.trim();
        if !digits.is_empty() {
            inputs.push(bytes(digits).ok_or(index + 1)?);
        }
    }
    Ok(inputs)
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

/// The line of an input.
#[must_use]
pub fn line(input: &[u8]) -> String {
    input.iter().map(|byte| format!("{byte:02x}")).collect()
}
