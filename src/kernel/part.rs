//! Rewrites a kernel's text to run part of its workgroups, so that one dispatch becomes several. Workgroups number from the
//! part's first one, which `Params` tells, and so compute the same bits in whichever part they lie.

use super::{KernelKey, Params};

/// Constant of a [`KernelKey`]: its parameters end with the first workgroup of a part, three words and a padding word.
pub const PART: &str = "PART";

/// The member of `Params`.
const FIRST: &str = "first_workgroup";

impl KernelKey {
    /// The kernel that runs part of its workgroups; [`Params::of_part`] says which.
    #[must_use]
    pub fn in_parts(self) -> Self {
        if self.is_part() { self } else { self.with(PART, 1) }
    }

    /// Whether the kernel runs part of its workgroups.
    pub fn is_part(&self) -> bool {
        self.value(PART).is_some()
    }
}

impl Params {
    /// The same parameters for the part that begins `first` workgroups further on. `is_part` tells whether they are those of a
    /// part already.
    #[must_use]
    pub fn of_part(&self, first: [u32; 3], is_part: bool) -> Self {
        let mut params = self.clone();
        let words = &mut params.words;
        if !is_part {
            words.resize(words.len().next_multiple_of(4), 0);
            words.extend([0; 4]);
        }
        let start = words.len().saturating_sub(4);
        words[start..].iter_mut().zip(first).for_each(|(word, more)| *word = word.wrapping_add(more));
        params
    }
}

/// Adds the first workgroup to `Params`, and to the ids that the entry point is given.
pub(super) fn rewrite(text: &str) -> Result<String, String> {
    if text.contains("num_workgroups") {
        return Err("a kernel that counts its workgroups has no parts".into());
    }
    let (before, params) = text.split_once("struct Params {\n").ok_or("no `struct Params`")?;
    let (members, after) = params.split_once("\n}").ok_or("`struct Params` is not closed")?;
    let (between, entry) = after.split_once("@workgroup_size(").ok_or("no `@workgroup_size`")?;
    let (size, main) = entry.split_once(")\nfn main(").ok_or("no `fn main`")?;
    let (arguments, body) = main.split_once(") {\n").ok_or("`fn main` has no body")?;
    let mut arguments = arguments.to_string();
    let mut ids = String::new();
    let invocations = format!(" * vec3<u32>({})", extent(size));
    for (builtin, scale) in [("workgroup_id", ""), ("global_invocation_id", &invocations)] {
        let declared = format!("@builtin({builtin}) ");
        let Some((head, tail)) = arguments.split_once(&declared) else { continue };
        let (name, tail) = tail.split_once(": vec3<u32>").ok_or_else(|| format!("`{builtin}` has no name"))?;
        ids += &format!("    let {name} = {name}_in_part + p.{FIRST}.xyz{scale};\n");
        arguments = format!("{head}{declared}{name}_in_part: vec3<u32>{tail}");
    }
    if ids.is_empty() {
        return Err("a kernel without the number of its workgroup has no parts".into());
    }
    Ok(format!(
        "{before}struct Params {{\n{members}\n    {FIRST}: vec4<u32>,\n}}{between}@workgroup_size({size})\nfn main({arguments}) {{\n{ids}{body}"
    ))
}

/// A workgroup's extent in three dimensions, of the one to three that are declared.
fn extent(size: &str) -> String {
    let ones = 3usize.saturating_sub(size.split(',').count());
    size.to_string() + &", 1u".repeat(ones)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "struct Params {
    n: u32,  // a comment
}
@group(0) @binding(0) var<uniform> p: Params;
@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let x = id.x + group.y;
}
";

    #[test]
    fn ids_continue_from_the_first_workgroup() {
        let got = rewrite(TEXT).unwrap();
        assert!(got.contains("    n: u32,  // a comment\n    first_workgroup: vec4<u32>,\n}"), "{got}");
        let ids = "fn main(@builtin(global_invocation_id) id_in_part: vec3<u32>, \
                   @builtin(workgroup_id) group_in_part: vec3<u32>) {\n    let group = group_in_part + \
                   p.first_workgroup.xyz;\n    let id = id_in_part + p.first_workgroup.xyz * vec3<u32>(16, 4, 1u);\n    let x";
        assert!(got.contains(ids), "{got}");
        assert!(rewrite(&TEXT.replace("workgroup_id", "num_workgroups")).is_err());
        let alone = TEXT.replace("global_invocation_id", "local_invocation_id").replace("workgroup_id", "subgroup_id");
        assert!(rewrite(&alone).unwrap_err().contains("without the number"));
        assert_eq!([extent("64"), extent("WIDTH, HEIGHT")], ["64, 1u, 1u", "WIDTH, HEIGHT, 1u"]);
    }

    #[test]
    fn parameters_end_with_the_first_workgroup() {
        let of = |words: &[u32], first, is_part| Params::of_words(words.to_vec()).of_part(first, is_part);
        assert_eq!(&of(&[7], [0, 5, 0], false)[..], [7, 0, 0, 0, 0, 5, 0, 0]);
        assert_eq!(&of(&[7, 0, 0, 0, 0, 5, 0, 0], [1, 2, 0], true)[..], [7, 0, 0, 0, 1, 7, 0, 0]);
    }
}
