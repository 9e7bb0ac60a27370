// Signs and verifies with Ed25519, through OpenSSL.

import COpenSSL
import Glibc

/// RFC 8032 signatures: 32-byte keys and seeds, 64-byte signatures.
enum Ed25519 {
    static let keyBytes = 32
    static let signatureBytes = 64

    /// Whether the signature is the key's for this message. A malformed key or signature is simply not.
    static func verify(signature: [UInt8], of message: [UInt8], by publicKey: [UInt8]) -> Bool {
        guard publicKey.count == keyBytes, signature.count == signatureBytes else { return false }
        // OpenSSL leaves its reasons in a queue per thread, where the next caller would find them.
        defer { ERR_clear_error() }
        guard let key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, publicKey, publicKey.count) else { return false }
        defer { EVP_PKEY_free(key) }
        guard let context = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestVerifyInit(context, nil, nil, nil, key) == 1 else { return false }
        return EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
    }

    /// The public key of a seed; nil only where OpenSSL fails.
    static func publicKey(ofSeed seed: [UInt8]) -> [UInt8]? {
        guard seed.count == keyBytes else { return nil }
        defer { ERR_clear_error() }
        guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, seed.count) else { return nil }
        defer { EVP_PKEY_free(key) }
        var publicKey = [UInt8](repeating: 0, count: keyBytes)
        var count = publicKey.count
        guard EVP_PKEY_get_raw_public_key(key, &publicKey, &count) == 1, count == keyBytes else { return nil }
        return publicKey
    }

    /// The seed's signature of a message; nil only where OpenSSL fails.
    static func sign(_ message: [UInt8], withSeed seed: [UInt8]) -> [UInt8]? {
        guard seed.count == keyBytes else { return nil }
        defer { ERR_clear_error() }
        guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, seed.count) else { return nil }
        defer { EVP_PKEY_free(key) }
        guard let context = EVP_MD_CTX_new() else { return nil }
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestSignInit(context, nil, nil, nil, key) == 1 else { return nil }
        var signature = [UInt8](repeating: 0, count: signatureBytes)
        var count = signature.count
        guard EVP_DigestSign(context, &signature, &count, message, message.count) == 1, count == signatureBytes else {
            return nil
        }
        return signature
    }

    /// Bytes nobody can guess; nil only where the system has none.
    static func randomBytes(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        // The kernel's: an idle broker has no need to set up OpenSSL for a server id.
        return getentropy(&bytes, count) == 0 ? bytes : nil
    }
}
