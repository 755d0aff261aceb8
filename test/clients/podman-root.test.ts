/** podman and buildah of root, with plyfs as mount_program. */
import { testLife } from './life.js';

testLife('podman and buildah as root', 'root');
