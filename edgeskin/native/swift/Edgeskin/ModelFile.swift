// Which file a model is: its hash, as edgeskin's manifests have it.

#if canImport(CryptoKit)
  import CryptoKit
  import Foundation

  /// SHA-256 in hexadecimal: of a file, or of a folder's files in the order of their paths, each its
  /// path, a zero byte and its own SHA-256.
  public func sha256(of url: URL) throws -> String {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) else {
      throw ModelError.missing(file: url.lastPathComponent)
    }
    return isFolder.boolValue ? hexadecimal(try digest(ofFolder: url)) : hexadecimal(try digest(ofFile: url))
  }

  /// Throws `ModelError.altered` where the file is another one.
  func check(_ url: URL, sha256 expected: String) throws {
    let found = try sha256(of: url)
    guard found == expected else {
      throw ModelError.altered(file: url.lastPathComponent, expected: expected, found: found)
    }
  }

  private func digest(ofFile url: URL) throws -> SHA256.Digest {
    SHA256.hash(data: try Data(contentsOf: url, options: .mappedIfSafe))
  }

  private func digest(ofFolder url: URL) throws -> SHA256.Digest {
    var all = SHA256()
    for path in try files(in: url) {
      all.update(data: Data(path.utf8) + [0])
      all.update(data: Data(try digest(ofFile: url.appendingPathComponent(path))))
    }
    return all.finalize()
  }

  /// Paths from the folder on, in the order of their parts.
  private func files(in folder: URL) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { path in
      var isFolder: ObjCBool = false
      let found = FileManager.default.fileExists(
        atPath: folder.appendingPathComponent(path).path, isDirectory: &isFolder)
      return found && !isFolder.boolValue
    }.sorted { a, b in
      a.split(separator: "/").lexicographicallyPrecedes(b.split(separator: "/")) {
        $0.utf8.lexicographicallyPrecedes($1.utf8)
      }
    }
  }

  private func hexadecimal(_ digest: SHA256.Digest) -> String {
    digest.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  }
#endif
