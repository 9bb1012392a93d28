//! The part of the images that one of several processes takes.

/// Part `number` (from 1) of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    number: usize,
    count: usize,
}

impl Shard {
    /// Keeps every `count`-th item: neighbours, which are often of one size, are spread over all parts.
    pub(super) fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.number - 1).step_by(self.count).collect()
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

/// `2/8`.
pub(super) fn shard(text: &str) -> Result<Shard, String> {
    let parsed = text.split_once('/').map(|(number, count)| (number.parse(), count.parse()));
    let Some((Ok(number), Ok(count))) = parsed else {
        return Err("write the part and the number of parts, such as 1/3".into());
    };
    match (number, count) {
        (_, 0) => Err("there must be at least one part".into()),
        (number, count) if (1..=count).contains(&number) => Ok(Shard { number, count }),
        (number, count) => Err(format!("there is no part {number}; parts are 1 to {count}")),
    }
}

#[cfg(test)]
mod tests {
    use super::shard;

    #[test]
    fn parts_are_disjoint_and_complete() {
        let parts = ["1/3", "2/3", "3/3"].map(|text| shard(text).unwrap().of((0..7).collect()));
        assert_eq!(parts, [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
        assert_eq!(shard("1/1").unwrap().of(vec![5, 6]), [5, 6]);
        assert!(shard("9/9").unwrap().of(vec![5, 6]).is_empty());
    }

    #[test]
    fn parts_that_do_not_exist() {
        for (text, reason) in [
            ("0/3", "no part 0; parts are 1 to 3"),
            ("4/3", "no part 4; parts are 1 to 3"),
            ("1/0", "at least one part"),
            ("0/0", "at least one part"),
            ("3", "such as 1/3"),
            ("-1/3", "such as 1/3"),
            ("1/2/3", "such as 1/3"),
            ("", "such as 1/3"),
        ] {
            let e = shard(text).unwrap_err();
            assert!(e.contains(reason), "{text}: {e}");
        }
    }
}
