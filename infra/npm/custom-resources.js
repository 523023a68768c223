// Check resources of KEDA, the Prometheus operator, and the Gateway API against their definitions:
// node custom-resources.js < resources.json
// The schemas find wrong types and missing fields, and the types find unknown fields. Prints the errors, and exits with
// status 1 if there are any.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import ts from "typescript";

const MODULES = {
  HTTPRoute: "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute",
  PodMonitor: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor",
  PrometheusRule: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
  ScaledObject: "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
};

const resources = JSON.parse(readFileSync(0, "utf8"));
const errors = [];

for (const resource of resources) {
  const model = (await import(MODULES[resource.kind]))[resource.kind];
  try {
    new model(resource).validate();
  } catch (error) {
    errors.push(`${resource.kind} ${resource.metadata.name}: ${error.message}`);
  }
}

const file = new URL(`./checked-${process.pid}.ts`, import.meta.url).pathname;
const imports = Object.entries(MODULES).map(([kind, module]) => `import type { I${kind} } from "${module}";`);
const literals = resources.map((resource, n) => `export const r${n}: I${resource.kind} = ${JSON.stringify(resource)};`);
writeFileSync(file, [...imports, ...literals].join("\n"));
try {
  const options = {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    noEmit: true,
    skipLibCheck: true,
    strict: true,
    types: [],
  };
  for (const found of ts.getPreEmitDiagnostics(ts.createProgram([file], options))) {
    errors.push(ts.flattenDiagnosticMessageText(found.messageText, " "));
  }
} finally {
  rmSync(file);
}

if (errors.length) {
  console.log(errors.join("\n"));
  process.exit(1);
}
