/** podman and buildah of an ordinary user, with plyfs as mount_program. */
import { testLife } from './life.js';

testLife('podman and buildah as an ordinary user', 'rootless');
