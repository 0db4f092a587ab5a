// A foreign issuer for the tests: oidc-provider on a free port of loopback, with clients that get tokens by client credentials.
//
//   node issuer.mjs PORT ALGORITHM     PORT: 0 for any free one; ALGORITHM: RS256, ES256 or EdDSA, with a key of this run alone
//
// It prints its address, and ends when standard input does.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [, , port, algorithm] = process.argv;
const resource = 'https://gate.example';
const kinds = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519'] };

/** JWTs for the gateway as RFC 9068 has them, unless the client is named `opaque-…`. */
function resourceServer(format) {
    return {
        scope: 'device sub:readings/#',
        audience: 'sealgate',
        accessTokenTTL: 600,
        accessTokenFormat: format,
        jwt: { sign: { alg: algorithm } },
    };
}

/** The key of this run. The provider needs one for RS256 besides, for ID tokens that nobody asks for. */
function keys() {
    const make = (name) => {
        const jwk = generateKeyPairSync(...kinds[name]).privateKey.export({ format: 'jwk' });
        return { ...jwk, kid: `${name}-${process.pid}`, alg: name, use: 'sig' };
    };
    return { keys: [...new Set([algorithm, 'RS256'])].map(make) };
}

const server = createServer();
server.listen(Number(port), '127.0.0.1', () => {
    const issuer = `http://127.0.0.1:${server.address().port}`;
    const client = (id) => ({
        client_id: id,
        client_secret: 'a secret of the tests',
        grant_types: ['client_credentials', 'authorization_code'],
        redirect_uris: ['https://client.example/back'],
        response_types: ['code'],
    });
    const provider = new Provider(issuer, {
        clients: ['pump', 'opaque-pump', 'console', 'gate'].map(client),
        jwks: keys(),
        scopes: ['device', 'sub:readings/#'],
        features: {
            clientCredentials: { enabled: true },
            introspection: { enabled: true, allowedPolicy: () => true },
            devInteractions: { enabled: false },
            resourceIndicators: {
                enabled: true,
                defaultResource: () => resource,
                useGrantedResource: () => true,
                getResourceServerInfo: (context, indicator, client) =>
                    resourceServer(client.clientId.startsWith('opaque') ? 'opaque' : 'jwt'),
            },
        },
        // A client that has nobody behind it is its own subject.
        formats: { customizers: { jwt: (context, token, parts) => { parts.payload.sub ??= token.clientId; } } },
    });
    server.on('request', provider.callback());
    console.log(issuer);
});
process.stdin.on('end', () => process.exit(0)).resume();
