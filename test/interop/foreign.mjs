// A foreign implementation behind a pipe: one JSON request a line on standard input, one JSON answer a
// line on standard output, in the same order. It never uses the network: contexts and did:key documents
// are all that it can load.
import {createInterface} from 'node:readline';
import {createHash} from 'node:crypto';

import * as vc from '@digitalbazaar/vc';
import {DataIntegrityProof} from '@digitalbazaar/data-integrity';
import {cryptosuite as ecdsaRdfc2019} from '@digitalbazaar/ecdsa-rdfc-2019-cryptosuite';
import {cryptosuite as eddsaRdfc2022} from '@digitalbazaar/eddsa-rdfc-2022-cryptosuite';
import * as EcdsaMultikey from '@digitalbazaar/ecdsa-multikey';
import * as Ed25519Multikey from '@digitalbazaar/ed25519-multikey';
import {contexts as credentialContexts} from '@digitalbazaar/credentials-context';
import canonicalize from 'canonicalize';
import {compactVerify, CompactSign, importJWK} from 'jose';
import jsonld from 'jsonld';
import * as rdfCanonize from 'rdf-canonize';
import {Validator} from '@seriousme/openapi-schema-validator';

const contexts = new Map(credentialContexts);

function multikeyOf(did) {
  return did.slice('did:key:'.length);
}

// DID documents that a test has handed over, and their methods.
const documents = new Map();

async function documentLoader(url) {
  if(documents.has(url)) {
    return {contextUrl: null, documentUrl: url, document: documents.get(url), tag: 'static'};
  }
  if(contexts.has(url)) {
    return {contextUrl: null, documentUrl: url, document: contexts.get(url), tag: 'static'};
  }
  if(url.startsWith('did:key:')) {
    const [did, fragment] = url.split('#');
    const method = {
      '@context': 'https://w3id.org/security/multikey/v1',
      id: `${did}#${multikeyOf(did)}`,
      type: 'Multikey',
      controller: did,
      publicKeyMultibase: multikeyOf(did),
    };
    if(fragment) {
      return {contextUrl: null, documentUrl: url, document: method};
    }
    return {contextUrl: null, documentUrl: url, document: {
      '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
      id: did,
      verificationMethod: [method],
      assertionMethod: [method.id],
      authentication: [method.id],
    }};
  }
  throw new Error('not loadable offline: ' + url);
}

const keys = new Map();

async function key(kind) {
  if(!keys.has(kind)) {
    const pair = kind === 'Ed25519' ? await Ed25519Multikey.generate() : await EcdsaMultikey.generate({curve: kind});
    const did = 'did:key:' + pair.publicKeyMultibase;
    pair.id = did + '#' + pair.publicKeyMultibase;
    pair.controller = did;
    keys.set(kind, pair);
  }
  return keys.get(kind);
}

function explain(error) {
  if(!error) {
    return 'failed';
  }
  const inner = (error.errors || []).map(e => e.message + (e.details ? ' ' + JSON.stringify(e.details.event || e.details) : ''));
  return [error.message, ...inner].join('; ').slice(0, 600);
}

// The algorithms of ecdsa-jcs-2019 written out with a foreign JCS and a foreign ECDSA.
async function verifyJCS(document) {
  const {proof, ...rest} = document;
  const {proofValue, ...config} = proof;
  if(config['@context']) {
    rest['@context'] = config['@context'];
  }
  const method = documents.get(config.verificationMethod);
  const pair = await EcdsaMultikey.from({type: 'Multikey', id: config.verificationMethod, controller: 'x',
    publicKeyMultibase: method ? method.publicKeyMultibase : config.verificationMethod.split('#')[1]});
  const verifier = pair.verifier();
  const hash = verifier.algorithm === 'P-256' ? 'sha256' : 'sha384';
  const data = Buffer.concat([config, rest].map(p => createHash(hash).update(canonicalize(p)).digest()));
  const {base58btc} = await base58();
  return verifier.verify({data, signature: base58btc.decode(proofValue.slice(1))});
}

async function issueJCS(kind, document) {
  const pair = await key(kind);
  const config = {type: 'DataIntegrityProof', cryptosuite: kind === 'Ed25519' ? 'eddsa-jcs-2022' : 'ecdsa-jcs-2019', created: '2026-03-01T12:00:00Z',
    verificationMethod: pair.id, proofPurpose: 'assertionMethod', '@context': document['@context']};
  const hash = kind === 'P-384' ? 'sha384' : 'sha256';
  const data = Buffer.concat([config, document].map(p => createHash(hash).update(canonicalize(p)).digest()));
  const {base58btc} = await base58();
  return {...document, proof: {...config, proofValue: 'z' + base58btc.encode(await pair.signer().sign({data}))}};
}

async function base58() {
  const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
  return {base58btc: {encode(bytes) {
    let n = BigInt('0x' + Buffer.from(bytes).toString('hex'));
    let text = '';
    for(; n > 0n; n /= 58n) {
      text = alphabet[Number(n % 58n)] + text;
    }
    for(let i = 0; i < bytes.length && bytes[i] === 0; i++) {
      text = '1' + text;
    }
    return text;
  }, decode(s) {
    let n = 0n;
    for(const c of s) {
      n = n * 58n + BigInt(alphabet.indexOf(c));
    }
    let hex = n.toString(16);
    hex = hex.length % 2 ? '0' + hex : hex;
    const zeros = s.match(/^1*/)[0].length;
    return Buffer.concat([Buffer.alloc(zeros), Buffer.from(hex, 'hex')]);
  }}};
}

const operations = {
  async context({url, document}) {
    contexts.set(url, document);
    return {};
  },
  // hands a DID document over, as if it had been resolved
  async publish({document}) {
    documents.set(document.id, document);
    for(const m of document.verificationMethod) {
      documents.set(m.id, {'@context': 'https://w3id.org/security/multikey/v1', ...m});
    }
    return {};
  },
  async did({kind}) {
    return {did: (await key(kind)).controller};
  },
  // signs a credential whose issuer is the key's DID
  async issue({kind, document}) {
    const pair = await key(kind);
    const suite = new DataIntegrityProof({signer: pair.signer(), cryptosuite: kind === 'Ed25519' ? eddsaRdfc2022 : ecdsaRdfc2019});
    return {document: await vc.issue({credential: document, suite, documentLoader, now: new Date('2026-03-01T12:00:00Z')})};
  },
  async present({kind, document, challenge, domain}) {
    const pair = await key(kind);
    const suite = new DataIntegrityProof({signer: pair.signer(), cryptosuite: kind === 'Ed25519' ? eddsaRdfc2022 : ecdsaRdfc2019});
    return {document: await vc.signPresentation({presentation: document, suite, challenge, domain, documentLoader})};
  },
  async verify({document, now}) {
    const suite = [ecdsaRdfc2019, eddsaRdfc2022].map(cryptosuite => new DataIntegrityProof({cryptosuite}));
    const r = await vc.verifyCredential({credential: document, suite, documentLoader, now: now ? new Date(now) : new Date('2026-03-01T12:00:00Z'),
      checkStatus: async () => ({verified: true})});
    return r.verified ? {} : {error: explain(r.error)};
  },
  async verifyPresentation({document, challenge, domain}) {
    const suite = [ecdsaRdfc2019, eddsaRdfc2022].map(cryptosuite => new DataIntegrityProof({cryptosuite}));
    const r = await vc.verify({presentation: document, suite, challenge, domain, documentLoader, now: new Date('2026-03-01T12:00:00Z')});
    return r.verified ? {} : {error: explain(r.error) + ' ' +
      (r.credentialResults || []).filter(c => !c.verified).map(c => explain(c.error)).join(' ')};
  },
  async issueJCS({kind, document}) {
    return {document: await issueJCS(kind, document)};
  },
  async verifyJCS({document}) {
    return await verifyJCS(document) ? {} : {error: 'the signature is not good'};
  },
  async canonize({document, hash}) {
    const dataset = await jsonld.toRDF(document, {documentLoader, safe: true, base: null, rdfDirection: 'i18n-datatype', produceGeneralizedRdf: false});
    return {nquads: await rdfCanonize.canonize(dataset, {algorithm: 'RDFC-1.0', messageDigestAlgorithm: hash, maxWorkFactor: 3})};
  },
  async canonizeQuads({nquads, hash}) {
    return {nquads: await rdfCanonize.canonize(rdfCanonize.NQuads.parse(nquads),
      {algorithm: 'RDFC-1.0', messageDigestAlgorithm: hash, maxWorkFactor: Infinity})};
  },
  async openapi({document}) {
    const v = new Validator();
    const {valid, errors} = await v.validate(document);
    return {valid, version: v.version, errors: JSON.stringify(errors)?.slice(0, 2000)};
  },
  async jcs({document}) {
    return {text: canonicalize(document)};
  },
  async signJWT({kind, document, typ, cty}) {
    const pair = await key(kind);
    const jwk = await exportable(kind);
    const alg = {'P-256': 'ES256', 'P-384': 'ES384', Ed25519: 'EdDSA'}[kind];
    const token = await new CompactSign(new TextEncoder().encode(JSON.stringify(document)))
      .setProtectedHeader({alg, typ, cty, kid: pair.id, iss: pair.controller})
      .sign(await importJWK(jwk, alg));
    return {token};
  },
  async verifyJWT({token, jwk, alg}) {
    const {payload, protectedHeader} = await compactVerify(token, await importJWK(jwk, alg), {algorithms: [alg]});
    return {document: JSON.parse(new TextDecoder().decode(payload)), header: protectedHeader};
  },
};

async function exportable(kind) {
  const pair = await key(kind);
  if(kind === 'Ed25519') {
    const jwk = await Ed25519Multikey.toJwk({keyPair: pair, secretKey: true});
    // the library puts the public key behind the secret one
    jwk.d = Buffer.from(jwk.d, 'base64url').subarray(0, 32).toString('base64url');
    return jwk;
  }
  return EcdsaMultikey.toJwk({keyPair: pair, secretKey: true});
}

for await (const line of createInterface({input: process.stdin, crlfDelay: Infinity})) {
  let answer;
  try {
    const request = JSON.parse(line);
    answer = await operations[request.op](request);
  } catch(e) {
    answer = {error: explain(e)};
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
