/**
 * plyfs/client: plyd's API for programs on Node.js. `ply` itself uses it.
 *
 *     import { Client, PlyError } from 'plyfs/client';
 *
 *     const ply = new Client();
 *     const { id } = await ply.containers.create({ image: 'debian' });
 *     const { mountpoint } = await ply.containers.start(id);
 */
export { Client, type ClientOptions, type Containers, type EndOptions, type Images, type Layers, type Mounts } from './client';
export { type CallOptions, usualSocket } from './connection';
export { Work } from './work';
export { type Failure, type LocalCode, PlyError } from './errors';
export type * from '../daemon/api/types';
