export { type ControlPlane, controlPlane, type ControlPlaneOptions } from "./control-plane.ts";
export {
  type Behaviour,
  captured,
  fakeFacts,
  type FakeRun,
  type FakeWorker,
  fakeWorker,
  type FakeWorkerOptions,
  newArtifact,
  succeed,
  WireRefusal,
} from "./fake-worker.ts";
export {
  buildWith,
  contentHash,
  deployProject,
  multipart,
  projectIndex,
  type ProjectShape,
  tarOf,
  taskDeclaration,
  upload,
} from "./project.ts";
export { imageOf, type StoredDevice, type TreeStore, treeStore } from "./tree-store.ts";
export { type WireAnswer, type WireCall, type WireClient, wireClient } from "./wire-client.ts";
