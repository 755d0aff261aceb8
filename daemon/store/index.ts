/** What plyd keeps on disk: the catalog (SQLite) and the layers' indexes. The rest of the daemon imports from here. */
export { Catalog, type StoreSizes } from './catalog';
export { CatalogError, type CatalogErrorCode, StoreError } from './errors';
export type { NewImportedLayer, NewLayer } from './layers';
export type { NewImage, NewImportedImage } from './images';
export type { Lease, LeaseId } from './leases';
export { Objects } from './objects';
export { type ContainerState, type NewContainer, TRANSITIONS } from './containers';
export { apiMount, type MountChange, type MountPhase, type MountRow, type NewMount } from './mounts';
export type { NewSnapshot, SnapshotInfo, SnapshotKind, SnapshotRow, SnapshotUsage } from './snapshots';
export { checkImageName, checkName, type Id, isId, newId, quoted, shortId } from './names';
export { addLayer, openIndex, removeLayer, strayLayers, sweepLayers, verifyLayer } from './layer-store';
export { FileType, type IndexFacts, type IndexRow, LayerIndex, Whiteout } from './index-rows';
export type { Progress } from './index-build';
export type { LongWork } from './layer-index';
export { decodeXattrs, type Xattr } from './xattrs';
