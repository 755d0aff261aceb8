/** The layouts in which native-bindings hands over attributes and directory entries, for those who may not import it. */
export { StatRecord, DirentRecord, ReadDirents, JobFlag, JobSlot, JobKind, STATFS_SIZE } from '../../native-bindings/index';
