/** What the activities of a node are given: the only way in for settings and for the world outside the node. */
import type { Recipient } from '../workflows/contract.js';
import type { Retention } from '../workflows/retention.js';

export interface NodeDeps {
  name: string;
  /** Whose book it is in. */
  pool?: string;
  /** Where other nodes reach this one. */
  address: string;
  /** Of its file service. */
  port: number;
  /** Absolute path of `<data>`. Everything that a node keeps is below it. */
  dataDir: string;
  /** A checkout of MindSpeed-LLM, or the reference backend. */
  mindspeedDir: string;
  /** Digest of the checkout's programs that the operator approves; without it any will do. */
  checkout?: string;
  /** The Python that runs its entry points. */
  python: string;
  /** The program that tries collectives with another node. */
  pairTest: string;
  profile: 'npu' | 'cpu';
  devices: number;
  /** Where the host's file system begins, for a worker in a container that has it mounted; else `/`. */
  root?: string;
  /** Environment of commands. */
  env: Record<string, string>;
  /** Directories beside `<data>` that `file://` sources of run files may name. */
  sourceRoots?: string[];
  /** Directories that `export.to` of run files may name. */
  exportRoots?: string[];
  /** Base URL of a Hugging Face hub or mirror of it (`HF_ENDPOINT`). */
  hfEndpoint?: string;
  /** Bearer token for gated repositories (`HF_TOKEN`); goes to the hub's own host only. */
  hfToken?: string;
  /** Further tokens for hubs, by the names of their variables, which run files may give. */
  hubTokens?: Record<string, string>;
  /** Base URL of ModelScope or a mirror of it (`MODELSCOPE_ENDPOINT`, `MODELSCOPE_DOMAIN`), and a token for it (`MODELSCOPE_API_TOKEN`). */
  modelscopeEndpoint?: string;
  modelscopeToken?: string;
  /** Certificate authority of other nodes' file services, in PEM, where the cluster has one of its own. */
  peerCa?: string;
  /** Bytes a second that copies from other nodes may take together; no limit where it is absent. */
  copyRate?: number;
  /** Hears of bytes that came from other nodes. */
  onReceived?(bytes: number): void;
  /** Whether its own file service speaks TLS. */
  tls?: boolean;
  /** Signals a workflow run through the node's client. */
  signal(to: Recipient, name: string, payload: unknown): Promise<void>;
  /** Which old checkpoints a generation has no use for any more; `undefined` when nobody answers. */
  retention(of: Recipient): Promise<Retention | undefined>;
}
