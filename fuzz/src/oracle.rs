//! Section 4.7 once more, written without looking at speed and in another way than the code that
//! is checked: over characters and tables, not over slices.

/// Whether `text` may be a topic name.
pub(crate) fn is_topic_name(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false; // [MQTT-1.5.4-1]
    };
    let length = text.len();
    (1..=65_535).contains(&length) // [MQTT-4.7.3-1] [MQTT-4.7.3-3]
        && text.chars().all(|c| !matches!(c, '\0' | '+' | '#')) // [MQTT-4.7.3-2] [MQTT-3.3.2-2]
}

/// Whether `text` may be a topic filter.
pub(crate) fn is_topic_filter(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    if text.len() > 65_535 || text.contains('\0') {
        return false;
    }
    let levels: Vec<Vec<char>> = split(text);
    let pattern = if levels[0].iter().collect::<String>() == "$share" && levels.len() > 1 {
        // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
        let group = &levels[1];
        if group.is_empty() || group.iter().any(|c| matches!(c, '+' | '#')) {
            return false;
        }
        if levels.len() < 3 {
            return false;
        }
        &levels[2..]
    } else {
        &levels[..]
    };
    if pattern.len() == 1 && pattern[0].is_empty() {
        return false; // [MQTT-4.7.3-1]
    }
    let last = pattern.len() - 1;
    pattern.iter().enumerate().all(|(index, level)| {
        let hashes = level.iter().filter(|c| **c == '#').count();
        let pluses = level.iter().filter(|c| **c == '+').count();
        // [MQTT-4.7.1-1] [MQTT-4.7.1-2]
        (hashes == 0 || (level.len() == 1 && index == last)) && (pluses == 0 || level.len() == 1)
    })
}

fn split(text: &str) -> Vec<Vec<char>> {
    let mut levels = vec![Vec::new()];
    for c in text.chars() {
        match (c, levels.last_mut()) {
            ('/', _) => levels.push(Vec::new()),
            (_, Some(level)) => level.push(c),
            (_, None) => {}
        }
    }
    levels
}

/// Whether a filter without a share means this topic. Both are valid.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let (filter, topic) = (split(filter), split(topic));
    let is_wildcard = |level: &[char]| level == ['+'] || level == ['#'];
    if topic[0].first() == Some(&'$') && is_wildcard(&filter[0]) {
        return false; // [MQTT-4.7.2-1]
    }
    // matched[i][j]: the first i levels of the filter mean the first j levels of the topic.
    let mut matched = vec![vec![false; topic.len() + 1]; filter.len() + 1];
    matched[0][0] = true;
    for (i, wanted) in filter.iter().enumerate() {
        for j in 0..=topic.len() {
            matched[i + 1][j] = if wanted == &['#'] {
                (0..=j).any(|before| matched[i][before])
            } else {
                j > 0 && matched[i][j - 1] && (wanted == &['+'] || *wanted == topic[j - 1])
            };
        }
    }
    matched[filter.len()][topic.len()]
}
