//! Rules over the AppProjects: what each lets in, where, and what its people may do.

use serde_json::Value;

use super::{Tree, group, kind, list, name, of_kind, text};

/// Each environment has a namespace of this name with its own.
const NAMESPACE: &str = "localplus-";

pub(super) fn scope(project: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("AppProject {}: {what}", name(project)));
    for path in [
        "/spec/clusterResourceWhitelist",
        "/spec/namespaceResourceWhitelist",
    ] {
        if project.pointer(path).is_none() {
            fault(&format!(
                "{} is not said, which allows everything or nothing by its default",
                list_name(path)
            ));
        }
        for allowed in list(project, path) {
            if [text(allowed, "/group"), text(allowed, "/kind")].contains(&"*") {
                fault(&format!("{} has a wildcard", list_name(path)));
            }
        }
    }
    for destination in list(project, "/spec/destinations") {
        let cluster = text(destination, "/name");
        let namespace = text(destination, "/namespace");
        let own = namespace.strip_prefix(NAMESPACE).is_some_and(|environment| {
            !environment.is_empty() && !environment.contains('*') && cluster == format!("{environment}*")
        });
        if !own && (cluster, namespace) != ("in-cluster", "argocd") {
            fault(&format!(
                "destination {cluster}/{namespace} does not pair an environment's clusters with its namespace"
            ));
        }
    }
    for role in list(project, "/spec/roles") {
        if list(role, "/groups").is_empty() {
            fault(&format!("role {} has no group", text(role, "/name")));
        }
    }
    for role in list(project, "/spec/roles") {
        faults.extend(rights(list(role, "/policies").iter().filter_map(Value::as_str)));
    }
    faults
}

/// The last part of a pointer.
fn list_name(pointer: &str) -> &str {
    pointer.rsplit('/').next().unwrap_or(pointer)
}

/// Rights that nobody has.
pub(super) fn rights<'a>(policies: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut faults = Vec::new();
    for policy in policies {
        let fields: Vec<&str> = policy.split(',').map(str::trim).collect();
        if let ["p", _, resource, action, _, "allow"] = fields.as_slice() {
            let too_much = *resource == "exec"
                || *resource == "*"
                || ["*", "override", "delete", "create", "update", "action/*"].contains(action);
            if too_much {
                faults.push(format!("`{policy}` lets people do what Git does not say"));
            }
        }
    }
    faults
}

/// Whether the project lets these objects in, into this namespace.
pub(super) fn allowed(project: &str, objects: &[Value], namespace: &str, tree: &Tree) -> Vec<String> {
    let Some(project) = of_kind(&tree.argocd, "AppProject").find(|one| name(one) == project) else {
        return vec![format!("AppProject {project} does not exist")];
    };
    let allows = |path: &str, object: &Value| {
        list(project, path)
            .iter()
            .any(|one| text(one, "/group") == group(object) && text(one, "/kind") == kind(object))
    };
    let mut faults = Vec::new();
    if !list(project, "/spec/destinations")
        .iter()
        .any(|one| text(one, "/namespace") == namespace)
    {
        faults.push(format!(
            "AppProject {}: does not reach namespace {namespace}",
            name(project)
        ));
    }
    for object in objects {
        let own = text(object, "/metadata/namespace");
        let (path, placed) = if own.is_empty() {
            ("/spec/clusterResourceWhitelist", true)
        } else {
            ("/spec/namespaceResourceWhitelist", own == namespace)
        };
        if !allows(path, object) {
            faults.push(format!(
                "AppProject {} does not allow {} {} ({})",
                name(project),
                kind(object),
                name(object),
                list_name(path)
            ));
        }
        if !placed {
            faults.push(format!(
                "{} {} is in namespace {own}, not {namespace}",
                kind(object),
                name(object)
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sound::{expect, object};
    use super::*;

    #[test]
    fn a_project_reaches_no_further_than_it_must() {
        let product = |said: &str, pointer: &str, value: Value| {
            expect(said, |tree| {
                *object(tree, "AppProject", "product")
                    .pointer_mut(pointer)
                    .unwrap() = value;
            });
        };
        product(
            "has a wildcard",
            "/spec/clusterResourceWhitelist",
            json!([{"group": "*", "kind": "*"}]),
        );
        product("does not pair", "/spec/destinations/0/name", json!("*"));
        product(
            "does not pair",
            "/spec/destinations/0/namespace",
            json!("localplus-*"),
        );
        product(
            "does not pair",
            "/spec/destinations/0/namespace",
            json!("localplus-prod"),
        );
        product(
            "does not reach namespace localplus-dev",
            "/spec/destinations",
            json!([]),
        );
        product(
            "does not allow Deployment svc-a",
            "/spec/namespaceResourceWhitelist",
            json!([]),
        );
        product("has no group", "/spec/roles/0/groups", json!([]));
        for action in ["override", "delete", "*", "create"] {
            let policy = format!("p, proj:product:team, applications, {action}, product/*, allow");
            product("what Git does not say", "/spec/roles/0/policies/0", json!(policy));
        }
        expect("is not said", |tree| {
            let project = object(tree, "AppProject", "product");
            project["spec"]
                .as_object_mut()
                .unwrap()
                .remove("namespaceResourceWhitelist");
        });
        expect("is in namespace default", |tree| {
            tree.services.values_mut().next().unwrap()[0]["metadata"]["namespace"] = json!("default");
        });
    }
}
