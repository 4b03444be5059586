// What edgeskin uses of CameraX, to compile against where CameraX cannot be had.
package androidx.camera.core

import java.nio.ByteBuffer

interface ImageInfo {
    val rotationDegrees: Int
}

interface ImageProxy {
    interface PlaneProxy {
        val rowStride: Int
        val pixelStride: Int
        val buffer: ByteBuffer
    }

    val format: Int
    val width: Int
    val height: Int
    val planes: Array<PlaneProxy>
    val imageInfo: ImageInfo
}
