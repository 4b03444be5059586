package edgeskin

import java.nio.ByteBuffer

/**
 * What a model eats: es_recipe of edgeskin.h.
 *
 * @param crop left, top, right, bottom in pixels of the upright image; null is all of it.
 * @param channels RGB, BGR or GREY.
 */
data class Recipe(
    val width: Int,
    val height: Int,
    val fit: Fit = Fit.SQUASH,
    val resizeTo: Int = 0,
    val filter: Filter = Filter.BILINEAR,
    val padValue: Int = 0,
    val crop: List<Float>? = null,
    val channels: PixelFormat = PixelFormat.RGB,
    val type: ElementType = ElementType.UINT8,
    val layout: Layout = Layout.NHWC,
    val mean: List<Double> = listOf(0.0, 0.0, 0.0),
    val std: List<Double> = listOf(1.0, 1.0, 1.0),
    val scale: Double = 1.0 / 255.0,
    val zeroPoint: Int = 0,
) {
    init {
        if (crop != null && crop.size != 4) throw EdgeskinException("ES_BAD_CROP", "a crop has 4 sides, got ${crop.size}")
        if (crop != null && crop.all { it == 0f }) { // to C that would be the whole image
            throw EdgeskinException("ES_BAD_CROP", "the crop is empty")
        }
        if (mean.size != 3 || std.size != 3) {
            throw EdgeskinException("ES_BAD_VALUE", "mean and std have 3 values, got ${mean.size} and ${std.size}")
        }
    }

    internal fun ints() = intArrayOf(
        width, height, fit.code, resizeTo, filter.code, padValue, channels.code, type.code, layout.code, zeroPoint,
    )

    internal fun reals() =
        ((crop ?: listOf(0f, 0f, 0f, 0f)).map(Float::toDouble) + mean + std + scale).toDoubleArray()

    /** Bytes of the output. */
    fun outputBytes(): Int = size(Native.outputBytes(ints(), reals()))

    /** How the image's pixels map to the output's, to find the way back. */
    fun place(image: Image): Placement {
        val (n, crop) = IntArray(9) to DoubleArray(4)
        Native.place(image.ints(), ints(), reals(), n, crop)
        return Placement(n, crop)
    }

    companion object {
        /**
         * The recipe of a model: the bytes of its spec.json, or of the "input" in it. FLOAT32, NCHW;
         * copy it with the type, layout, scale and zero point of the artifact's input tensor.
         */
        fun fromSpec(spec: ByteArray): Recipe {
            val (n, r) = IntArray(10) to DoubleArray(11)
            Native.recipeFromSpec(spec, n, r)
            return Recipe(
                n[0], n[1], Fit(n[2]), n[3], Filter(n[4]), n[5], null, PixelFormat(n[6]), ElementType(n[7]),
                Layout(n[8]), r.slice(4..6), r.slice(7..9), r[10], n[9],
            )
        }

        fun fromSpec(spec: String): Recipe = fromSpec(spec.toByteArray())
    }
}

/** A recipe with the memory that it needs: keep one per thread and model. */
class Preprocessor(val recipe: Recipe) {
    private val workspace = Workspace()
    private val ints = recipe.ints()
    private val reals = recipe.reals()

    /** From the bytes of spec.json; quantized inputs say their `type`, `scale` and `zeroPoint` here. */
    constructor(
        spec: ByteArray, type: ElementType = ElementType.FLOAT32, layout: Layout = Layout.NCHW,
        scale: Double = 1.0 / 255.0, zeroPoint: Int = 0,
    ) : this(Recipe.fromSpec(spec).copy(type = type, layout = layout, scale = scale, zeroPoint = zeroPoint))

    constructor(
        spec: String, type: ElementType = ElementType.FLOAT32, layout: Layout = Layout.NCHW,
        scale: Double = 1.0 / 255.0, zeroPoint: Int = 0,
    ) : this(spec.toByteArray(), type, layout, scale, zeroPoint)

    /**
     * Writes the model's input into `output` from its position on: a tensor's own buffer will do.
     * With a selection the image's other pixels are its `fill`.
     */
    fun run(image: Image, output: ByteBuffer, selection: Selection? = null) {
        if (output.isReadOnly) throw EdgeskinException("ES_NULL_POINTER", "the output is a read-only buffer")
        val numbers = image.ints()
        val scratch = workspace.reserve(Native.preprocessWorkspace(numbers, ints, reals))
        val planes = image.planes.map { Memory.of(it.bytes) }
        val offsets = IntArray(3) { planes.getOrNull(it)?.offset ?: 0 }
        val out = Memory.of(output)
        Native.preprocess(
            numbers, planes.getOrNull(0)?.base, planes.getOrNull(1)?.base, planes.getOrNull(2)?.base, offsets,
            ints, reals, selection?.mask?.pixels, selection?.mask?.width ?: 0, selection?.mask?.height ?: 0,
            selection?.bytes(), out.base, out.offset, out.bytes, scratch,
        )
    }

    /** The model's input in a new direct buffer, in the machine's byte order. */
    fun run(image: Image, selection: Selection? = null): ByteBuffer =
        direct(recipe.outputBytes()).also { run(image, it, selection) }

    /** The model's input as floats: `recipe.type` must be FLOAT32. */
    fun runToFloats(image: Image, selection: Selection? = null): FloatArray {
        if (recipe.type != ElementType.FLOAT32) {
            throw EdgeskinException("ES_BAD_VALUE", "the recipe's type is ${recipe.type.code}, the array's 2")
        }
        val values = run(image, selection).asFloatBuffer()
        return FloatArray(values.remaining()).also(values::get)
    }
}
