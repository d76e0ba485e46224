//! Which crate may reach which: the arrows of ARCHITECTURE.md as a test. "The server cannot
//! decrypt" is a fact of the build because of this file.

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

    /// Direct edges between our crates that the design allows (normal and build dependencies).
    const ALLOWED: &[(&str, &[&str])] = &[
        ("godwit-base", &[]),
        ("godwit-wire", &["godwit-base"]),
        ("godwit-link", &["godwit-base"]),
        ("godwit-seal", &["godwit-base"]),
        ("godwit-actor", &["godwit-base"]),
        ("godwit-store", &["godwit-base"]),
        (
            "godwit-server",
            &["godwit-actor", "godwit-base", "godwit-link", "godwit-store", "godwit-wire"],
        ),
        ("godwit-client", &["godwit-base", "godwit-link", "godwit-seal", "godwit-wire"]),
        ("godwit-terminal", &["godwit-base", "godwit-client"]),
        ("godwit-bench", &["godwit-base", "godwit-link", "godwit-store", "godwit-wire"]),
        ("godwit-chance", &[]),
        ("xtask", &[]),
    ];

    /// What a package must not reach by any chain of normal or build dependencies.
    const UNREACHABLE: &[(&str, &[&str])] = &[
        ("godwit-server", &["godwit-seal", "vodozemac", "godwit-client"]),
        ("godwit-store", &["godwit-wire", "godwit-seal", "vodozemac"]),
        ("godwit-bench", &["godwit-seal", "vodozemac"]),
    ];

    type Graph = BTreeMap<String, BTreeSet<String>>;

    /// Package name -> names of what it is built from, development dependencies left out.
    fn graph(metadata: &Metadata) -> Graph {
        let resolve = metadata.resolve.as_ref().expect("cargo metadata resolves");
        let name = |id: &cargo_metadata::PackageId| metadata[id].name.to_string();
        let built_from = |node: &cargo_metadata::Node| {
            let built = node.deps.iter().filter(|dep| {
                dep.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
            });
            built.map(|dep| name(&dep.pkg)).collect()
        };
        resolve.nodes.iter().map(|node| (name(&node.id), built_from(node))).collect()
    }

    fn reaches(graph: &Graph, from: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(package) = open.pop() {
            for next in graph.get(&package).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    }

    fn workspace() -> (Metadata, Graph) {
        let manifest = crate::shell::root().join("Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifest).exec().expect("metadata");
        let graph = graph(&metadata);
        (metadata, graph)
    }

    #[test]
    fn crates_know_only_whom_the_design_allows() {
        let (metadata, graph) = workspace();
        let ours: BTreeSet<String> =
            metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
        let listed: BTreeSet<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(ours, listed, "every crate of the workspace has its row of allowed edges");
        for (name, allowed) in ALLOWED {
            let extra: Vec<_> = graph[*name]
                .iter()
                .filter(|dep| ours.contains(*dep) && !allowed.contains(&dep.as_str()))
                .collect();
            assert!(extra.is_empty(), "{name} must not know {extra:?}");
        }
    }

    #[test]
    fn the_server_cannot_reach_what_decrypts() {
        let (_, graph) = workspace();
        for (name, banned) in UNREACHABLE {
            let reached = reaches(&graph, name);
            for package in *banned {
                assert!(!reached.contains(*package), "{name} reaches {package}");
            }
        }
        // The search itself works: the client does reach what decrypts.
        assert!(reaches(&graph, "godwit-client").contains("vodozemac"));
    }

    /// Keys that a seed decides are for tests: no crate, and so no program, is built from what makes them.
    #[test]
    fn no_program_has_keys_from_a_seed() {
        let (_, graph) = workspace();
        assert!(graph.contains_key("godwit-chance"), "what makes them is there");
        for (name, _) in ALLOWED {
            assert!(!reaches(&graph, name).contains("godwit-chance"), "{name} reaches it");
        }
    }
}
